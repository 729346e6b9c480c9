//! Background work: files that replace others, jobs that fail, clocks that jump.

mod backups;
mod clock;
mod compaction;
mod jobs;
mod removals;
mod world;
