//! How much the writer takes on at once.

/// How a [`Writer`](super::Writer) works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct WriterOptions {
    /// How many requests share a commit at most. At least 1; 256 by default.
    pub batch: usize,
    /// How many requests wait at most; the next is refused. At least 1; 1,024 by default. Up to
    /// `batch` more are in hand. Of one subject any number may wait: a caller that lets strangers
    /// ask should bound how many requests of one of them are under way.
    pub queue: usize,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { batch: 256, queue: 1024 }
    }
}

impl WriterOptions {
    /// These options with another [`batch`](Self::batch).
    #[must_use]
    pub fn with_batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// These options with another [`queue`](Self::queue).
    #[must_use]
    pub fn with_queue(self, queue: usize) -> Self {
        Self { queue, ..self }
    }
}
