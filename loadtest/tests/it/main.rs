//! `millrace-loadtest` as people use it: real processes, real daemons.

mod play;
mod running;
mod up;
