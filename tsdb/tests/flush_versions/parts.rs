//! What the model is made of: a sample, files, layers, blocks.

/// What a file or a layer says of the one sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cell {
    Silent,
    Value(u8),
    Deleted,
}

impl Cell {
    pub(crate) fn over(self, older: Cell) -> Cell {
        if self == Cell::Silent { older } else { self }
    }

    /// As a volume keeps it: nothing lies below a volume.
    pub(crate) fn settled(self) -> Cell {
        if self == Cell::Deleted { Cell::Silent } else { self }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Volume,
    Snapshot,
}

/// A file of a short (0) or long (1) block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct File {
    pub(crate) block: usize,
    pub(crate) kind: Kind,
    /// Volume, or the cut of a snapshot.
    pub(crate) number: u8,
    /// The cut that a volume covers.
    pub(crate) covers: u8,
    pub(crate) cell: Cell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Layer {
    Memory(Cell),
    File(File),
}

impl Layer {
    pub(crate) fn cell(self) -> Cell {
        match self {
            Layer::Memory(cell) => cell,
            Layer::File(file) => file.cell,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Block {
    pub(crate) volume: Option<File>,
    pub(crate) layers: Vec<Layer>,
}

impl Block {
    pub(crate) fn is_empty(&self) -> bool {
        self.volume.is_none() && self.layers.is_empty()
    }

    pub(crate) fn cell(&self) -> Cell {
        let volume = self.volume.map_or(Cell::Silent, |v| v.cell);
        self.layers.iter().fold(volume, |below, layer| layer.cell().over(below))
    }

    pub(crate) fn files(&self) -> Vec<File> {
        let layers = self.layers.iter().filter_map(|layer| match layer {
            Layer::File(file) => Some(*file),
            Layer::Memory(_) => None,
        });
        self.volume.into_iter().chain(layers).collect()
    }
}
