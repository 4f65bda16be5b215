//! The cache engine from outside: stories told through its public API, with and without a disk.

mod block;
mod disk;
mod disks;
mod ending;
mod filling;
mod full;
mod joining;
mod keeping;
mod pressure;
mod properties;
mod purging;
mod reading;
mod stage;
mod variants;
mod weather;
