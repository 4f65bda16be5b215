//! The front door, from outside: real sockets, real clients, a small application behind it.

mod close;
mod heads;
mod house;
mod limits;
mod tls;
