//! Closing with care: a socket closed while the client's bytes lie unread resets the connection, and the reset may
//! overtake the answer and destroy it. So the rest of what the client sends is read and thrown away for a moment.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::front::connection::Slot;

/// How long the client has to notice that it was answered: a few round trips of a bad line.
const LINGER: Duration = Duration::from_secs(2);

/// What is read before the client is given up: a body it sends without listening.
const LINGER_BYTES: usize = 256 * 1024;

/// Lingers on the current runtime; `slot` counts the connection until then. Without a runtime it closes at once.
pub(in crate::front) fn spawn(socket: TcpStream, slot: Slot) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else {
        return;
    };
    runtime.spawn(async move {
        // A client that is slower than LINGER is closed as anyone else.
        let _ = tokio::time::timeout(LINGER, read_away(socket)).await;
        drop(slot);
    });
}

async fn read_away(mut socket: TcpStream) {
    // The client sees the end of the answer now; an error means that it is gone.
    let _ = socket.shutdown().await;
    let mut bytes = [0; 4096];
    let mut total = 0;
    while total < LINGER_BYTES {
        match socket.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(count) => total += count,
        }
    }
}
