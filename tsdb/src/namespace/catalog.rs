//! The catalog of namespaces: which there are, with their options; `docs/formats/namespace.md`.
//!
//! One file, replaced as a whole, is the truth about which namespaces exist: each change of them
//! is one rename. It is kept twice, so that a damaged byte costs nothing.

mod format;

use std::path::Path;

use m3rs_core::Corrupt;
use m3rs_core::fs::{Fs, map_around, write_atomic};

use super::options::NamespaceOptions;
use crate::error::{Damage, TsdbError};
use crate::names::Layout;

/// A namespace as the catalog has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct NamespaceMeta {
    /// Its number in the commit log; never given twice.
    pub(crate) id: u32,
    /// Its name.
    pub(crate) name: String,
    /// The name of its directories.
    pub(crate) dir: String,
    /// How it keeps samples.
    pub(crate) options: NamespaceOptions,
}

/// All namespaces of a data directory.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Catalog {
    /// The number of the next namespace; those below are used up.
    pub(crate) next_id: u32,
    /// Namespaces that are served.
    pub(crate) live: Vec<NamespaceMeta>,
    /// Names of directories that belong to no namespace any more and are to be removed.
    pub(crate) doomed: Vec<String>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self { next_id: 1, live: Vec::new(), doomed: Vec::new() }
    }
}

impl Catalog {
    /// Reads the catalog; `None` if there is none yet. Damage of one copy is told and mended.
    ///
    /// # Errors
    /// [`TsdbError::Meta`] if no copy can be read.
    pub(crate) fn load(
        fs: &dyn Fs,
        layout: &Layout,
        damage: &mut Vec<Damage>,
    ) -> Result<Option<Self>, TsdbError> {
        let (first, second) = (layout.catalog(), layout.catalog_copy());
        let (main, copy) = (read(fs, &first)?, read(fs, &second)?);
        let (catalog, is_whole) = match (main, copy) {
            (None, None) => return Ok(None),
            (Some(Ok(main)), Some(Ok(copy))) => {
                let is_same = main == copy;
                (main, is_same)
            }
            (Some(Ok(main)), Some(Err(corrupt))) => {
                damage.push(Damage::of_corrupt(&second, 0, 0, corrupt));
                (main, false)
            }
            (Some(Ok(main)), None) => (main, false),
            (Some(Err(corrupt)), Some(Ok(copy))) => {
                damage.push(Damage::of_corrupt(&first, 0, 0, corrupt));
                (copy, false)
            }
            (None, Some(Ok(copy))) => (copy, false),
            (Some(Err(corrupt)), _) => return Err(TsdbError::Meta { path: first, corrupt }),
            (None, Some(Err(corrupt))) => return Err(TsdbError::Meta { path: second, corrupt }),
        };
        if !is_whole {
            catalog.store(fs, layout)?;
        }
        Ok(Some(catalog))
    }

    /// Makes the catalog durable. Once the first of the copies is renamed, it is in force: an
    /// error may come after that.
    pub(crate) fn store(&self, fs: &dyn Fs, layout: &Layout) -> Result<(), TsdbError> {
        let bytes = format::encode(self);
        for path in [layout.catalog(), layout.catalog_copy()] {
            write_atomic(fs, &path, |file| file.write_all(&bytes))
                .map_err(|e| TsdbError::io("write", &path, e))?;
        }
        Ok(())
    }

    /// The namespace of that name.
    pub(crate) fn find(&self, name: &str) -> Option<&NamespaceMeta> {
        self.live.iter().find(|meta| meta.name == name)
    }

    /// The namespace of that name.
    ///
    /// # Errors
    /// [`TsdbError::NoNamespace`].
    pub(crate) fn find_mut(&mut self, name: &str) -> Result<&mut NamespaceMeta, TsdbError> {
        let found = self.live.iter_mut().find(|meta| meta.name == name);
        found.ok_or_else(|| TsdbError::NoNamespace { name: name.to_owned() })
    }

    /// Gives a namespace that is about to be made a number and a directory that nothing else has.
    /// The directory is doomed until the namespace is [adopted](Self::adopt): whatever becomes of
    /// the attempt, nothing of it is left.
    ///
    /// The directory is called as the namespace, unless one of that name is listed, or there, as
    /// `is_there` tells; then its number is added.
    pub(crate) fn reserve(
        &mut self,
        name: &str,
        options: NamespaceOptions,
        is_there: impl Fn(&str) -> bool,
    ) -> NamespaceMeta {
        let is_taken = |dir: &str| {
            let mut listed = self.live.iter().map(|meta| &meta.dir).chain(&self.doomed);
            listed.any(|other| other == dir) || is_there(dir)
        };
        let (mut id, mut dir) = (self.next_id, name.to_owned());
        if is_taken(&dir) {
            dir = format!("{name}@{id}");
            while is_taken(&dir) {
                id += 1;
                dir = format!("{name}@{id}");
            }
        }
        self.next_id = id + 1;
        self.doomed.push(dir.clone());
        NamespaceMeta { id, name: name.to_owned(), dir, options }
    }

    /// Lists a namespace for which a place was reserved.
    pub(crate) fn adopt(&mut self, meta: NamespaceMeta) {
        self.doomed.retain(|dir| *dir != meta.dir);
        self.live.push(meta);
    }

    /// Makes a namespace where nothing else is.
    #[cfg(test)]
    fn add(&mut self, name: &str, options: NamespaceOptions) -> NamespaceMeta {
        let meta = self.reserve(name, options, |_| false);
        self.adopt(meta.clone());
        meta
    }

    /// Gives a namespace another number and other options; its directories stay.
    ///
    /// # Errors
    /// [`TsdbError::NoNamespace`], [`TsdbError::Options`] if its files do not fit these.
    pub(crate) fn renumber(
        &mut self,
        name: &str,
        options: NamespaceOptions,
    ) -> Result<NamespaceMeta, TsdbError> {
        let id = self.next_id;
        let meta = self.find_mut(name)?;
        let wrong = |error| TsdbError::Options { name: name.to_owned(), error };
        meta.options.check_change(&options).map_err(wrong)?;
        (meta.id, meta.options) = (id, options);
        let meta = meta.clone();
        self.next_id += 1;
        Ok(meta)
    }

    /// Takes a namespace out; its directories are doomed.
    pub(crate) fn remove(&mut self, name: &str) -> Option<NamespaceMeta> {
        let at = self.live.iter().position(|meta| meta.name == name)?;
        let meta = self.live.remove(at);
        self.doomed.push(meta.dir.clone());
        Some(meta)
    }
}

/// What is wrong with the bytes of a copy of the catalog; `None` if they are sound.
pub(crate) fn check_catalog(bytes: &[u8]) -> Option<Corrupt> {
    format::check_version(bytes).and_then(|()| format::decode(bytes)).err()
}

fn read(fs: &dyn Fs, path: &Path) -> Result<Option<Result<Catalog, Corrupt>>, TsdbError> {
    if !fs.exists(path) {
        return Ok(None);
    }
    let (bytes, _) = map_around(fs, path).map_err(|e| TsdbError::io("read", path, e))?;
    // A newer version is no damage: the other copy may be older than it.
    format::check_version(&bytes)
        .map_err(|corrupt| TsdbError::Meta { path: path.to_owned(), corrupt })?;
    Ok(Some(format::decode(&bytes)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use m3rs_sim::disk::SimFs;

    use super::*;

    #[test]
    fn one_sound_copy_is_enough() {
        let layout = Layout::new(Path::new("/d"));
        let fs = SimFs::new(1);
        fs.create_dir_all(&PathBuf::from("/d/namespaces")).expect("made");
        let load = |damage: &mut Vec<Damage>| Catalog::load(&fs, &layout, damage);
        assert_eq!(load(&mut Vec::new()).expect("none yet"), None);
        let mut catalog = Catalog::default();
        catalog.add("default", NamespaceOptions::default());
        catalog.store(&fs, &layout).expect("stored");
        let len = fs.file_len(&layout.catalog()).expect("there");
        for path in [layout.catalog(), layout.catalog_copy()] {
            for at in 0..usize::try_from(len).expect("small") {
                fs.damage(&path, |bytes| bytes[at] ^= 0x10).expect("damaged");
                let mut damage = Vec::new();
                assert_eq!(load(&mut damage).expect("read"), Some(catalog.clone()), "byte {at}");
                assert_eq!(damage.len(), 1, "byte {at}");
                assert_eq!(damage[0].path, path);
                // The damaged copy was written anew.
                let mut damage = Vec::new();
                assert_eq!(load(&mut damage).expect("read"), Some(catalog.clone()));
                assert_eq!(damage, []);
            }
            fs.remove_file(&path).expect("removed");
            assert_eq!(load(&mut Vec::new()).expect("read"), Some(catalog.clone()));
        }
        for path in [layout.catalog(), layout.catalog_copy()] {
            fs.damage(&path, |bytes| bytes[20] ^= 0x10).expect("damaged");
        }
        assert!(matches!(load(&mut Vec::new()), Err(TsdbError::Meta { .. })));

        // One that a newer program wrote is not set right from an older copy.
        catalog.store(&fs, &layout).expect("stored");
        let newer = |bytes: &mut Vec<u8>| {
            bytes[8] += 1;
            let (body, crc) = bytes.split_last_chunk_mut::<4>().expect("long enough");
            *crc = m3rs_core::wire::checksum::crc32(body).to_le_bytes();
        };
        fs.damage(&layout.catalog(), newer).expect("damaged");
        assert!(matches!(load(&mut Vec::new()), Err(TsdbError::Meta { .. })));
    }

    #[test]
    fn no_number_and_no_directory_is_given_twice() {
        let options = NamespaceOptions::default;
        let mut catalog = Catalog::default();
        let add = |catalog: &mut Catalog| {
            let meta = catalog.reserve("a", options(), |_| false);
            assert!(catalog.doomed.contains(&meta.dir), "it is nobody's until it is adopted");
            catalog.adopt(meta.clone());
            assert!(!catalog.doomed.contains(&meta.dir));
            (meta.id, meta.dir)
        };
        assert_eq!(add(&mut catalog), (1, "a".to_owned()));
        catalog.remove("a").expect("it is there");
        assert_eq!(add(&mut catalog), (2, "a@2".to_owned()));
        catalog.remove("a").expect("it is there");
        assert_eq!(catalog.doomed, ["a", "a@2"]);
        // Nor is one that is there, though no one lists it.
        let never_adopted = catalog.reserve("a", options(), |dir| dir == "a@3");
        assert_eq!((never_adopted.id, never_adopted.dir.as_str()), (4, "a@4"));
        catalog.doomed.clear();
        assert_eq!(add(&mut catalog), (5, "a".to_owned()));
        assert_eq!(catalog.remove("b"), None);
    }

    /// Whoever renumbers looked at the namespace before it had the catalog for itself, and its
    /// shards may have changed since. Files of three shards with a catalog that says four are lost.
    #[test]
    fn a_new_number_comes_with_the_old_layout_only() {
        let mut catalog = Catalog::default();
        let three = NamespaceOptions { shard_count: 3, ..NamespaceOptions::default() };
        let meta = catalog.add("a", three);
        let stale = NamespaceOptions { shard_count: 4, ..meta.options.clone() };
        let error = catalog.renumber("a", stale).expect_err("other shards");
        assert!(matches!(error, TsdbError::Options { .. }), "{error}");
        assert_eq!(catalog.live, std::slice::from_ref(&meta));
        let unlogged = NamespaceOptions { writes_to_commit_log: false, ..meta.options };
        assert_eq!(catalog.renumber("a", unlogged).expect("the same files").id, 2);
    }
}
