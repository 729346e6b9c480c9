//! Background work: files that replace others, jobs that fail, clocks that jump.

mod clock;
mod compaction;
mod jobs;
mod removals;
mod world;
