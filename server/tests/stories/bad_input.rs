//! What is wrong is refused with its reason; what stands beside it is not affected.

mod queries;
mod wire;
mod writes;
