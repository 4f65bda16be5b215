//! One source of evidence as a line of steps: nets that lie inside each other become a value for every address.

use super::prefix::Prefix;

/// From `from` on, up to the next step, this is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step<T> {
    pub(super) from: u64,
    pub(super) value: Option<T>,
}

/// The steps of one family, of nets that come in their order ([`Prefix`]'s).
#[derive(Debug)]
pub(super) struct Layer<T> {
    steps: Vec<Step<T>>,
    /// The nets that are not over yet, the innermost last: at most one for each length.
    open: Vec<(u64, T)>,
}

impl<T: Copy + PartialEq> Layer<T> {
    /// Says nothing of any address.
    pub(super) fn new() -> Layer<T> {
        Layer {
            steps: vec![Step { from: 0, value: None }],
            open: Vec::new(),
        }
    }

    /// Lays `net` over those before it, none of which begins later.
    pub(super) fn cover(&mut self, net: Prefix, value: T) {
        self.close(|last| last < net.first);
        self.step(net.first, Some(value));
        self.open.push((net.last(), value));
    }

    /// All steps, the first from address 0 on, neighbours different.
    pub(super) fn finish(mut self) -> Vec<Step<T>> {
        self.close(|_| true);
        self.steps
    }

    /// Ends the innermost nets while they are `over`; behind each the one around it goes on.
    fn close(&mut self, over: impl Fn(u64) -> bool) {
        while self.open.last().is_some_and(|(last, _)| over(*last)) {
            let Some((last, _)) = self.open.pop() else { break };
            let around = self.open.last().map(|(_, value)| *value);
            if let Some(behind) = last.checked_add(1) {
                self.step(behind, around);
            }
        }
    }

    fn step(&mut self, from: u64, value: Option<T>) {
        // A step of no length: a net ends where another begins.
        if self.steps.last().is_some_and(|step| step.from == from) {
            self.steps.pop();
        }
        if self.steps.last().is_none_or(|step| step.value != value) {
            self.steps.push(Step { from, value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(nets: &[(&str, u8)]) -> Vec<(u64, Option<u8>)> {
        let mut layer = Layer::new();
        for (net, value) in nets {
            layer.cover(Prefix::parse(net).unwrap(), *value);
        }
        // The first two octets are enough to tell these apart.
        let short = |step: Step<u8>| (step.from >> 48, step.value);
        layer.finish().into_iter().map(short).collect()
    }

    #[test]
    fn an_inner_net_is_laid_over_the_outer_one_which_goes_on_behind_it() {
        assert_eq!(
            steps(&[("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.4.0.0/14", 3)]),
            [
                (0, None),
                (0x0a00, Some(1)),
                (0x0a01, Some(2)),
                (0x0a02, Some(1)),
                (0x0a04, Some(3)),
                (0x0a08, Some(1)),
                (0x0b00, None),
            ]
        );
    }

    #[test]
    fn neighbours_that_say_the_same_are_one_step() {
        assert_eq!(
            steps(&[("10.0.0.0/9", 1), ("10.64.0.0/10", 1), ("10.128.0.0/9", 1)]),
            [(0, None), (0x0a00, Some(1)), (0x0b00, None)]
        );
    }

    #[test]
    fn the_whole_of_the_addresses_and_its_last_net_have_no_step_behind_them() {
        assert_eq!(steps(&[]), [(0, None)]);
        assert_eq!(
            steps(&[("0.0.0.0/0", 1), ("255.0.0.0/8", 2)]),
            [(0, Some(1)), (0xff00, Some(2))]
        );
    }
}
