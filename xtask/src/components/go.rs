//! The Go toolchain: the one on the machine, or Debian's, or a newer one from the module proxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::stage;

/// Go before this version cannot fetch the toolchain that a module asks for by itself.
const SELF_UPDATING: (u32, u32) = (1, 21);

/// A Go toolchain that can build the pinned module.
#[derive(Debug)]
pub(crate) struct Go {
    program: PathBuf,
    module: PathBuf,
}

impl Go {
    /// Runs `go ARGS` in the module's directory; returns what it printed.
    pub(crate) fn run(&self, args: &[&str]) -> Result<String> {
        stage::output(
            Command::new(&self.program)
                .current_dir(&self.module)
                .env("GOTOOLCHAIN", "auto")
                .env("GOFLAGS", "")
                .env("GOWORK", "off")
                .args(args),
        )
    }
}

/// Finds Go; else installs Debian's when this is root on a machine with apt.
pub(crate) fn find_or_install(module: &Path) -> Result<Go> {
    let program = match find() {
        Some(program) => program,
        None => {
            apt_install()?;
            find().context("golang-go was installed, and there is still no `go`")?
        }
    };
    let go = Go { program, module: module.to_owned() };
    let said = stage::output(Command::new(&go.program).arg("version").env("GOTOOLCHAIN", "local"))?;
    let Some(version) = parse_version(&said) else { bail!("`go version` said: {said}") };
    if version >= SELF_UPDATING {
        return Ok(go);
    }
    let wanted = fs::read_to_string(module.join("go.mod")).context("cannot read go.mod")?;
    let wanted = go_line(&wanted).context("go.mod has no go line")?;
    println!("    go: {}.{} is too old, fetching {wanted}", version.0, version.1);
    fetch_toolchain(&go.program, wanted, module)
}

fn find() -> Option<PathBuf> {
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&on_path)
        .chain([PathBuf::from("/usr/local/go/bin")])
        .map(|dir| dir.join("go"))
        .find(|program| program.is_file())
}

fn apt_install() -> Result<()> {
    let is_root = stage::output(Command::new("id").arg("-u")).is_ok_and(|uid| uid == "0");
    let has_apt = Path::new("/usr/bin/apt-get").exists();
    if !(is_root && has_apt) {
        bail!("Go is not installed (https://go.dev/dl, or the package golang-go)");
    }
    println!("    go: installing the package golang-go");
    let apt = |args: &[&str]| {
        stage::output(Command::new("apt-get").env("DEBIAN_FRONTEND", "noninteractive").args(args))
    };
    apt(&["update", "-q"])?;
    apt(&["install", "-q", "-y", "--no-install-recommends", "golang-go", "ca-certificates"])?;
    Ok(())
}

/// Fetches a toolchain as the module that newer versions of Go would fetch by themselves.
fn fetch_toolchain(old: &Path, wanted: &str, module: &Path) -> Result<Go> {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("no Go toolchain is known for {other}"),
    };
    let name = format!("golang.org/toolchain@v0.0.1-go{wanted}.linux-{arch}");
    // Outside the module: an old Go cannot read its go.mod.
    let outside = std::env::temp_dir();
    stage::output(Command::new(old).current_dir(&outside).args(["mod", "download", &name]))?;
    let cache = stage::output(Command::new(old).current_dir(&outside).args(["env", "GOMODCACHE"]))?;
    let root = Path::new(&cache).join(&name);
    for dir in [root.join("bin"), root.join(format!("pkg/tool/linux_{arch}"))] {
        make_executable(&dir)?;
    }
    Ok(Go { program: root.join("bin/go"), module: module.to_owned() })
}

/// The module cache keeps no execute bits.
fn make_executable(dir: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))? {
        let path = entry?.path();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o555))
            .with_context(|| format!("cannot make {} executable", path.display()))?;
    }
    Ok(())
}

/// `go version go1.26.8 linux/amd64` is `(1, 26)`.
fn parse_version(said: &str) -> Option<(u32, u32)> {
    let version = said.split_whitespace().find_map(|word| {
        word.strip_prefix("go").filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    })?;
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok()?;
    Some((major, minor))
}

/// The version on the `go` line of a go.mod.
fn go_line(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("go ")).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_versions() {
        assert_eq!(parse_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(parse_version("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(parse_version("no such thing"), None);
    }

    #[test]
    fn reads_the_go_line() {
        assert_eq!(go_line("module x\n\ngo 1.25.10\n"), Some("1.25.10"));
        assert_eq!(go_line("module x\n"), None);
    }
}
