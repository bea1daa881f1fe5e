//! Shared data and shared queues (`shared_data.cc`, `shared_queue.cc` of proxy-wasm-cpp-host).

use std::collections::{BTreeMap, VecDeque};

use proxy_wasm::types::Status;

/// Shared data: a value per key and a number that changes with it. Keys are never removed, not even by an empty
/// value.
#[derive(Default)]
pub struct SharedData {
    entries: BTreeMap<String, (Vec<u8>, u32)>,
    last_cas: u32,
}

impl SharedData {
    pub fn get(&self, key: &str) -> Result<(Vec<u8>, u32), Status> {
        self.entries.get(key).cloned().ok_or(Status::NotFound)
    }

    /// Writes a value. `cas` 0 writes in any case, and so does any `cas` on a key that does not exist: there is no
    /// create-if-absent.
    pub fn set(&mut self, key: String, value: Vec<u8>, cas: u32) -> Result<(), Status> {
        match self.entries.get(&key) {
            Some((_, known)) if cas != 0 && cas != *known => Err(Status::CasMismatch),
            _ => {
                self.last_cas += 1;
                self.entries.insert(key, (value, self.last_cas));
                Ok(())
            }
        }
    }
}

/// Shared queues, and the notifications about them that wait in the worker's event loop.
#[derive(Default)]
pub struct Queues {
    names: Vec<String>,
    items: BTreeMap<u32, VecDeque<Vec<u8>>>,
    posted: VecDeque<u32>,
    is_held: bool,
}

impl Queues {
    /// Returns the queue's token. The same name has the same token, and keeps its items.
    pub fn register(&mut self, name: String) -> u32 {
        let token = self.resolve(&name).unwrap_or_else(|| {
            self.names.push(name);
            u32::try_from(self.names.len()).expect("few queues")
        });
        self.items.entry(token).or_default();
        token
    }

    pub fn resolve(&self, name: &str) -> Option<u32> {
        let index = self.names.iter().position(|known| known == name)?;
        u32::try_from(index + 1).ok()
    }

    /// Adds an item, which posts one `proxy_on_queue_ready` to the worker that registered the queue. It comes after
    /// the current event, never inside it.
    pub fn enqueue(&mut self, token: u32, item: Vec<u8>) -> Result<(), Status> {
        self.items.get_mut(&token).ok_or(Status::NotFound)?.push_back(item);
        self.posted.push_back(token);
        Ok(())
    }

    pub fn dequeue(&mut self, token: u32) -> Result<Vec<u8>, Status> {
        self.items.get_mut(&token).ok_or(Status::NotFound)?.pop_front().ok_or(Status::Empty)
    }

    /// Takes the notification that is due now.
    pub fn take_posted(&mut self) -> Option<u32> {
        if self.is_held { None } else { self.posted.pop_front() }
    }

    /// Keeps notifications back until [`Queues::release`].
    pub fn hold(&mut self) {
        self.is_held = true;
    }

    pub fn release(&mut self) {
        self.is_held = false;
    }

    /// Drops the notifications that wait. Their items stay.
    pub fn lose(&mut self) {
        self.posted.clear();
    }

    /// Tells if no queue has an item.
    pub fn are_empty(&self) -> bool {
        self.items.values().all(VecDeque::is_empty)
    }

    /// Tells if no notification waits.
    pub fn is_idle(&self) -> bool {
        self.posted.is_empty()
    }
}
