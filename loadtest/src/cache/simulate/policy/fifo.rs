//! First in, first out, by object: what a ring of fragments does (Traffic Server's cyclone without evacuation).

use std::collections::VecDeque;

use model::Moment;

use super::super::trace::Object;
use super::{Policy, Written};

pub(super) struct Fifo {
    capacity_bytes: u64,
    kept_bytes: u64,
    queue: VecDeque<(Object, u32)>,
    is_kept: Vec<bool>,
    written: Written,
}

impl Fifo {
    pub(super) fn new(capacity_bytes: u64, objects: usize) -> Fifo {
        Fifo {
            capacity_bytes,
            kept_bytes: 0,
            queue: VecDeque::new(),
            is_kept: vec![false; objects],
            written: Written::default(),
        }
    }
}

impl Policy for Fifo {
    fn request(&mut self, _: Moment, object: Object, bytes: u32) -> bool {
        if self.is_kept[object as usize] {
            return true;
        }
        self.written.admitted_bytes += u64::from(bytes);
        self.kept_bytes += u64::from(bytes);
        self.is_kept[object as usize] = true;
        self.queue.push_back((object, bytes));
        while self.kept_bytes > self.capacity_bytes
            && let Some((oldest, bytes)) = self.queue.pop_front()
        {
            self.is_kept[oldest as usize] = false;
            self.kept_bytes -= u64::from(bytes);
        }
        false
    }

    fn written(&self) -> Written {
        self.written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_in_is_the_first_out_however_often_it_was_hit() {
        let mut fifo = Fifo::new(300, 4);
        let hits = [0, 1, 2, 0, 3, 0, 2].map(|object| fifo.request(Moment(0), object, 100));
        assert_eq!(hits, [false, false, false, true, false, false, true]);
        assert_eq!(fifo.written().admitted_bytes, 500);
    }
}
