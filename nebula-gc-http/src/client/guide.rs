//! A section for each task, with an example that runs.
#![doc = include_str!("guide.md")]
