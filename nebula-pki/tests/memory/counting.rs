//! Counts what the calling thread allocates.
#![allow(unsafe_code, reason = "an allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Bytes that a call held at most at once, and that it allocated in sum.
pub(crate) struct Usage {
    pub(crate) peak: usize,
    pub(crate) sum: usize,
}

/// What a call allocates.
pub(crate) fn usage(call: impl FnOnce()) -> Usage {
    let before = LIVE.get();
    PEAK.set(before);
    SUM.set(0);
    call();
    Usage { peak: PEAK.get() - before, sum: SUM.get() }
}

thread_local! {
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
    static SUM: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count(size: usize) {
    // What another thread allocated may be freed by this one, and the reverse: the sum may wrap.
    LIVE.set(LIVE.get().wrapping_add(size));
    PEAK.set(PEAK.get().max(LIVE.get()));
    SUM.set(SUM.get().wrapping_add(size));
}

fn discount(size: usize) {
    LIVE.set(LIVE.get().wrapping_sub(size));
}

// SAFETY: everything is left to the system's allocator; the counters are thread-local, need no
// allocation and are never dropped.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        discount(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // For a moment there may be both.
        count(size);
        discount(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}
