//! Named limits of the storage engine.

/// The longest annotation of one sample, in bytes. What M3 writes is a few bytes long.
pub const ANNOTATION_BYTES_MAX: usize = 4096;

/// What the engine refuses to go beyond. Every refusal names the limit and its setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most series that one namespace ever had, as refs are never given again
    /// (`limits.series_max`).
    pub series_max: u32,
    /// Most windows with unflushed samples in one shard (`limits.windows_max`). Each costs memory
    /// and becomes a file; a sender of random times must not make millions.
    pub windows_max: usize,
    /// Most bytes of log entries that wait to be written (`limits.log_pending_bytes_max`).
    pub log_pending_bytes_max: usize,
    /// Most encodings of label sets remembered per series on average
    /// (`limits.encodings_per_series_max`); above it the memory of encodings starts anew.
    pub encodings_per_series_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            series_max: 100_000_000,
            windows_max: 10_000,
            log_pending_bytes_max: 256 << 20,
            encodings_per_series_max: 4,
        }
    }
}
