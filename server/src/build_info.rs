//! What was built, by whom and from what; the build sets `M3RS_*` variables where it knows.

use m3rs_coordinator::http::BuildInfo;

/// Facts of this binary; empty where the build did not tell.
pub(crate) fn build_info() -> BuildInfo {
    let known = |value: Option<&str>| value.unwrap_or_default().to_owned();
    BuildInfo {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        revision: known(option_env!("M3RS_BUILD_REVISION")),
        branch: known(option_env!("M3RS_BUILD_BRANCH")),
        build_user: known(option_env!("M3RS_BUILD_USER")),
        build_date: known(option_env!("M3RS_BUILD_DATE")),
        rustc_version: known(option_env!("M3RS_BUILD_RUSTC")),
    }
}
