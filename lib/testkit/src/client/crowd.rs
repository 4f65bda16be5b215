//! Running clients: one, or a crowd of them at once.

use std::future::Future;

use crate::machine;

/// Runs an async piece of a test on a runtime of its own.
///
/// # Panics
///
/// When called from inside a runtime.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime
        .expect("the machine has room for one more runtime")
        .block_on(future)
}

/// Runs `count` clients at once, all on one thread, and gives back what each came to, in order.
///
/// # Panics
///
/// When one of them panics, or when called from inside a runtime.
pub fn crowd<T, F>(count: usize, client: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    machine::raise_open_files();
    run(async {
        let clients: Vec<_> = (0..count).map(|index| tokio::spawn(client(index))).collect();
        let mut outcomes = Vec::with_capacity(count);
        for client in clients {
            match client.await {
                Ok(outcome) => outcomes.push(outcome),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
        outcomes
    })
}
