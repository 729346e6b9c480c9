//! Codecs: samples to bytes and back, with no IO, no clock and no global state.
//!
//! [`m3tsz`] is the appendable stream of an open window, bit-compatible with M3. [`histogram`] holds
//! native histograms in chunks.

mod bits;

pub mod histogram;
pub mod m3tsz;
