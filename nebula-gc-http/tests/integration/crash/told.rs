//! What the processes told before they were killed.

use std::collections::BTreeMap;

use crate::shared::child::Child;

#[derive(Default)]
pub struct Told {
    devices: BTreeMap<String, Device>,
    pub outcomes: u64,
    /// Whether the networks are there.
    pub ready: bool,
    /// The clock, where it was told.
    pub time: Option<i64>,
}

#[derive(Default, Clone)]
pub struct Device {
    /// The last outcome, and whether nothing was begun after it.
    pub known: Option<Known>,
    pub in_doubt: bool,
}

#[derive(Clone)]
pub struct Known {
    pub network: usize,
    pub state: String,
    pub name: String,
    pub key: Vec<u8>,
    pub token: Option<String>,
    pub fingerprints: Vec<String>,
}

impl Told {
    pub fn len(&self) -> usize {
        self.devices.len()
    }

    pub fn devices(&self) -> impl Iterator<Item = (&String, &Device)> {
        self.devices.iter()
    }

    /// Whether a device of this id asked for anything.
    pub fn began(&self, device: &str) -> bool {
        self.devices.contains_key(device)
    }

    /// What a device has now.
    pub fn renew(&mut self, device: &str, fingerprints: Vec<String>) {
        let device = self.devices.get_mut(device).unwrap();
        device.known.as_mut().unwrap().fingerprints = fingerprints;
    }

    /// Waits for the first outcome.
    pub fn wait(&mut self, child: &mut Child) {
        while let Some(line) = child.line() {
            self.note(&line);
            if line.starts_with("done") {
                return;
            }
        }
        panic!("the child ended");
    }

    pub fn note(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words.as_slice() {
            ["ready"] => self.ready = true,
            ["time", time] => self.time = Some(time.parse().unwrap()),
            ["begin", device] => {
                self.devices.entry((*device).to_owned()).or_default().in_doubt = true;
            }
            ["done", device, network, state, name, key, token, fingerprints] => {
                self.outcomes += 1;
                let byte = |at| u8::from_str_radix(&key[at..at + 2], 16).unwrap();
                let known = Known {
                    network: network.parse().unwrap(),
                    state: (*state).to_owned(),
                    name: (*name).to_owned(),
                    key: (0..key.len()).step_by(2).map(byte).collect(),
                    token: (*token != "-").then(|| (*token).to_owned()),
                    fingerprints: split(fingerprints),
                };
                let device = self.devices.entry((*device).to_owned()).or_default();
                *device = Device { known: Some(known), in_doubt: false };
            }
            _ => panic!("{line}"),
        }
    }
}

pub fn split(fingerprints: &str) -> Vec<String> {
    let each = fingerprints.split(',').filter(|one| one.len() > 1);
    each.map(str::to_owned).collect()
}
