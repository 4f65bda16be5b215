//! Reading many things at once and taking them one after the other.

use std::ops::ControlFlow;
use std::sync::mpsc::sync_channel;

/// Calls `read` for `0..count` on `depth` threads and `take` with the results, in order and on this thread, until it
/// breaks. No more than three results for each thread are in memory.
pub(super) fn in_order<T: Send>(
    count: usize,
    depth: usize,
    read: impl Fn(usize) -> T + Sync,
    mut take: impl FnMut(usize, T) -> ControlFlow<()>,
) {
    let read = &read;
    std::thread::scope(|scope| {
        let lanes: Vec<_> = (0..depth.min(count))
            .map(|lane| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || {
                    let mut items = (lane..count).step_by(depth);
                    // Nobody receives any more when `take` broke off.
                    while items.next().is_some_and(|at| sender.send(read(at)).is_ok()) {}
                });
                receiver
            })
            .collect();
        for at in 0..count {
            // A reader that panicked sends nothing; the scope panics as well when it ends.
            let Ok(item) = lanes[at % depth].recv() else {
                return;
            };
            if take(at, item).is_break() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_taken_in_order_until_the_taker_breaks_off() {
        for count in [0, 1, 15, 16, 17, 1000] {
            for last in [count, count / 2] {
                let mut taken = Vec::new();
                in_order(
                    count,
                    16,
                    |at| at * 2,
                    |at, item| {
                        assert_eq!(item, at * 2);
                        taken.push(at);
                        if at == last {
                            ControlFlow::Break(())
                        } else {
                            ControlFlow::Continue(())
                        }
                    },
                );
                assert_eq!(taken, (0..count.min(last + 1)).collect::<Vec<_>>());
            }
        }
    }
}
