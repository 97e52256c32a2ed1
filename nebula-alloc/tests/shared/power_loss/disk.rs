//! A disk that loses power: what was synchronised is there; of what was not, anything may be.
//!
//! A sector of 512 bytes holds one of the contents that the file had there since it was last
//! synchronised. Sectors, sizes and names are independent of each other, in any order. A name is
//! made or unmade for good by a synchronisation of its directory only.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::super::random::Random;
use super::log::Record;

const SECTOR: usize = 512;

/// What SQLite shares in memory; after a restart nobody believes it.
const SHARED_MEMORY: &str = "-shm";

#[derive(Debug, Default)]
pub struct Disk {
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    pending_names: Vec<(String, Option<usize>)>,
    /// `None` for the directory.
    open: HashMap<u32, Option<usize>>,
}

#[derive(Debug, Default)]
struct File {
    /// As programs see it.
    cached: Vec<u8>,
    /// As it is after a loss of power.
    durable: Vec<u8>,
    pending: Vec<Change>,
    operations: usize,
}

#[derive(Debug, Clone)]
struct Change {
    operation: usize,
    what: What,
}

#[derive(Debug, Clone)]
enum What {
    Sector { index: usize, content: Vec<u8> },
    Size(usize),
}

impl Disk {
    /// Does what the child did. `random` decides about what a failed synchronisation leaves.
    pub fn apply(&mut self, record: &Record, random: &mut Random) {
        match record {
            Record::Open { fd, name, .. } if name.is_empty() => {
                self.open.insert(*fd, None);
            }
            Record::Open { fd, name, created, emptied } => {
                if *created {
                    self.files.push(File::default());
                    self.rename(name, Some(self.files.len() - 1));
                }
                let file = self.names[name];
                self.open.insert(*fd, Some(file));
                if *emptied && !*created {
                    self.files[file].resize(0);
                }
            }
            Record::Close { fd } => {
                self.open.remove(fd);
            }
            Record::Write { fd, offset, bytes } => self.file(*fd).write(*offset, bytes),
            Record::Resize { fd, size } => self.file(*fd).resize(*size),
            Record::Sync { fd } => match self.open[fd] {
                Some(file) => self.files[file].sync(),
                None => {
                    self.durable_names = self.names.clone();
                    self.pending_names.clear();
                }
            },
            Record::FailedSync { fd } => {
                if let Some(file) = self.open[fd] {
                    self.files[file].lose(random);
                }
            }
            Record::Unlink { name } => self.rename(name, None),
            Record::Say { .. } => {}
        }
    }

    /// Writes what may be there after a loss of power now.
    pub fn lose_power(&self, random: &mut Random, directory: &Path) {
        let mut names = self.durable_names.clone();
        let fate = random.below(3);
        for (name, file) in &self.pending_names {
            if fate == 0 || (fate == 1 && random.once_in(2)) {
                set(&mut names, name, *file);
            }
        }
        for (name, file) in names {
            if !name.ends_with(SHARED_MEMORY) {
                std::fs::write(directory.join(name), self.files[file].survivors(random)).unwrap();
            } else if random.once_in(4) {
                let rubbish: Vec<u8> =
                    (0..4096).flat_map(|_| random.next().to_ne_bytes()).collect();
                std::fs::write(directory.join(name), rubbish).unwrap();
            }
        }
    }

    fn file(&mut self, fd: u32) -> &mut File {
        let file = self.open[&fd].unwrap();
        &mut self.files[file]
    }

    fn rename(&mut self, name: &str, file: Option<usize>) {
        set(&mut self.names, name, file);
        self.pending_names.push((name.to_owned(), file));
    }
}

fn set(names: &mut BTreeMap<String, usize>, name: &str, file: Option<usize>) {
    match file {
        Some(file) => names.insert(name.to_owned(), file),
        None => names.remove(name),
    };
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.cached.len() < end {
            self.cached.resize(end, 0);
        }
        self.cached[offset..end].copy_from_slice(bytes);
        self.operations += 1;
        for index in offset / SECTOR..end.div_ceil(SECTOR) {
            let last = ((index + 1) * SECTOR).min(self.cached.len());
            let content = self.cached[index * SECTOR..last].to_vec();
            self.pending
                .push(Change { operation: self.operations, what: What::Sector { index, content } });
        }
    }

    fn resize(&mut self, size: usize) {
        self.cached.resize(size, 0);
        self.operations += 1;
        self.pending.push(Change { operation: self.operations, what: What::Size(size) });
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            apply(&mut self.durable, &change.what);
        }
    }

    /// Linux takes pages that it could not write for written: programs go on seeing them, and no
    /// later synchronisation writes them.
    fn lose(&mut self, random: &mut Random) {
        self.durable = self.survivors(random);
        self.pending.clear();
    }

    fn survivors(&self, random: &mut Random) -> Vec<u8> {
        let mut disk = self.durable.clone();
        let (Some(first), Some(last)) = (self.pending.first(), self.pending.last()) else {
            return disk;
        };
        let fate = random.below(5);
        // From 1 on, they fall together: each operation, and each sector in the one at the edge.
        let edge = first.operation + random.below(last.operation - first.operation + 1);
        let (mut operation, mut kept) = (0, false);
        for change in &self.pending {
            if operation != change.operation {
                operation = change.operation;
                kept = random.once_in(2);
            }
            let survives = match fate {
                0 => false,
                1 => true,
                2 => operation < edge || (operation == edge && random.once_in(2)),
                3 => kept,
                _ => random.once_in(2),
            };
            if survives {
                apply(&mut disk, &change.what);
            }
        }
        // The size is written apart from the data.
        match random.below(4) {
            0 if disk.len() < self.cached.len() => disk.resize(self.cached.len(), 0),
            1 if disk.len() > self.durable.len() => {
                let sectors = (disk.len() - self.durable.len()).div_ceil(SECTOR);
                disk.truncate(self.durable.len() + random.below(sectors) * SECTOR);
            }
            _ => {}
        }
        disk
    }
}

fn apply(disk: &mut Vec<u8>, what: &What) {
    match what {
        What::Size(size) => disk.resize(*size, 0),
        What::Sector { index, content } => {
            let (start, end) = (index * SECTOR, index * SECTOR + content.len());
            if disk.len() < end {
                disk.resize(end, 0);
            }
            disk[start..end].copy_from_slice(content);
        }
    }
}
