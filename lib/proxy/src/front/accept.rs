//! The accept loop of one socket.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::Application;
use super::connection::{Accepted, Core, serve};
use super::drain::Stage;

/// The first pause after an error that trying again at once would only repeat; it doubles up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// Long enough to cost nothing, short enough that clients in the queue do not give up.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Connections taken from the queue of a socket that is about to close: many queues full, so that only an endless
/// stream of new clients, who will find the port closed anyway, can reach it.
const LAST_ACCEPTS: usize = 64 * 1024;

/// One core's socket on one address.
pub(crate) struct Listener {
    pub(crate) socket: TcpListener,
    pub(crate) address: SocketAddr,
    pub(crate) secure: bool,
}

/// Accepts connections until the process drains, then what is left in the queue, and closes the socket.
pub(crate) async fn run<A>(core: Arc<Core<A>>, listener: Listener, mut stage: watch::Receiver<Stage>)
where
    A: Application,
{
    let mut pause = SHORTEST_PAUSE;
    {
        let mut stop = pin!(stage.wait_for(|stage| *stage >= Stage::StopAccepting));
        loop {
            let accepted = tokio::select! {
                biased;
                _ = &mut stop => break,
                accepted = listener.socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    pause = SHORTEST_PAUSE;
                    admit(&core, &listener, stream, peer);
                }
                Err(error) => {
                    let (reason, is_lasting) = reason(&error);
                    core.shared.metrics.accept_failed(reason);
                    if is_lasting {
                        tracing::warn!(address = %listener.address, %error, ?pause, "cannot accept connections");
                        // The stop is noticed after the pause, which is short.
                        tokio::time::sleep(pause).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                }
            }
        }
    }
    empty_queue(&core, listener);
}

/// Accepts what waits, until the queue is empty, and closes the socket at that very moment. The kernel is asked
/// directly: the runtime's view of the socket may be an event behind.
fn empty_queue<A>(core: &Arc<Core<A>>, listener: Listener)
where
    A: Application,
{
    let Listener {
        socket,
        address,
        secure,
    } = listener;
    let Ok(socket) = socket.into_std() else { return };
    let place = Place { address, secure };
    for _ in 0..LAST_ACCEPTS {
        match socket.accept() {
            Ok((stream, peer)) => {
                let stream = stream
                    .set_nonblocking(true)
                    .and_then(|()| TcpStream::from_std(stream));
                if let Ok(stream) = stream {
                    place.admit(core, stream, peer);
                }
            }
            Err(error) if !reason(&error).1 && error.kind() != io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
}

fn admit<A>(core: &Arc<Core<A>>, listener: &Listener, stream: TcpStream, peer: SocketAddr)
where
    A: Application,
{
    Place {
        address: listener.address,
        secure: listener.secure,
    }
    .admit(core, stream, peer);
}

/// Where a connection came in.
struct Place {
    address: SocketAddr,
    secure: bool,
}

impl Place {
    /// Serves a connection in a task of its own, or closes it at the cap.
    fn admit<A>(&self, core: &Arc<Core<A>>, stream: TcpStream, peer: SocketAddr)
    where
        A: Application,
    {
        let metrics = &core.shared.metrics;
        if self.secure {
            &metrics.accepted_https
        } else {
            &metrics.accepted_http
        }
        .inc();
        let Some(slot) = core.shared.slots.take() else {
            metrics.refuse("connection_cap");
            return;
        };
        // Only a socket on all addresses has to ask which one the client meant.
        let local = if self.address.ip().is_unspecified() {
            stream.local_addr().ok()
        } else {
            Some(self.address)
        };
        let Some(local) = local else { return };
        tokio::spawn(serve(
            Arc::clone(core),
            Accepted {
                stream,
                peer,
                local,
                secure: self.secure,
                slot,
            },
        ));
    }
}

/// A short word for an error of `accept`, and whether trying again at once would only repeat it.
fn reason(error: &io::Error) -> (&'static str, bool) {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => ("out_of_files", true),
        Some(libc::ENOBUFS | libc::ENOMEM) => ("out_of_memory", true),
        // The client gave up in the queue, or its network failed (accept(2)): the next one may be fine.
        Some(
            libc::ECONNABORTED
            | libc::EINTR
            | libc::EPERM
            | libc::EPROTO
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENONET
            | libc::ENOPROTOOPT
            | libc::EOPNOTSUPP,
        ) => ("client", false),
        _ => ("other", true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_that_last_cause_a_pause() {
        for (code, lasting) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOMEM, true),
            (libc::EBADF, true),
            (libc::ECONNABORTED, false),
            (libc::EHOSTUNREACH, false),
        ] {
            assert_eq!(reason(&io::Error::from_raw_os_error(code)).1, lasting, "{code}");
        }
    }
}
