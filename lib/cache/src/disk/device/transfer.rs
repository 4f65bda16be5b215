//! One transfer on its way: it owns its buffer until it is complete, and is completed exactly once.

use super::{BLOCK_BYTES, Buffer, Device};
use std::io;

/// Which way the bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// From the device into the buffer.
    Read,
    /// From the buffer to the device.
    Write,
}

/// Who is told of a transfer's end.
pub trait Completion: Send {
    /// Whether anybody still waits. A transfer that nobody awaits when its turn comes is not made.
    fn is_awaited(&self) -> bool {
        true
    }

    /// The end. After an error the contents of a read's buffer mean nothing. Runs on the engine's thread: must not
    /// block.
    fn complete(self: Box<Self>, result: io::Result<()>, buffer: Buffer);
}

/// A read or write with everything it needs. Dropped before its end, it is completed with an error.
pub struct Transfer {
    direction: Direction,
    offset: u64,
    /// Both are here until the end.
    buffer: Option<Buffer>,
    completion: Option<Box<dyn Completion>>,
}

impl Transfer {
    /// Fills `buffer` from `offset`.
    pub fn read(offset: u64, buffer: Buffer, completion: Box<dyn Completion>) -> Transfer {
        Transfer::new(Direction::Read, offset, buffer, completion)
    }

    /// Writes all of `buffer` at `offset`.
    pub fn write(offset: u64, buffer: Buffer, completion: Box<dyn Completion>) -> Transfer {
        Transfer::new(Direction::Write, offset, buffer, completion)
    }

    fn new(direction: Direction, offset: u64, buffer: Buffer, completion: Box<dyn Completion>) -> Transfer {
        Transfer {
            direction,
            offset,
            buffer: Some(buffer),
            completion: Some(completion),
        }
    }

    #[must_use]
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// Where on the device it begins, in bytes.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// What is filled or written.
    pub fn buffer(&mut self) -> &mut Buffer {
        self.buffer
            .as_mut()
            .expect("present until the transfer is complete")
    }

    /// Whether anybody still waits for it.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.completion
            .as_ref()
            .is_some_and(|completion| completion.is_awaited())
    }

    /// Puts another in front of who is told: `wrap` gets the one who was, and passes the end on to it.
    #[must_use]
    pub fn observed_by(mut self, wrap: impl FnOnce(Box<dyn Completion>) -> Box<dyn Completion>) -> Transfer {
        self.completion = self.completion.take().map(wrap);
        self
    }

    /// Makes the transfer by blocking calls, on this thread.
    pub fn carry_out(mut self, device: &(impl Device + ?Sized)) {
        let offset = self.offset;
        let result = match self.direction {
            Direction::Read => device.read_at(offset, self.buffer()),
            Direction::Write => device.write_at(offset, self.buffer()),
        };
        self.complete(result);
    }

    /// Ends it.
    pub fn complete(mut self, result: io::Result<()>) {
        self.end(result);
    }

    /// Ends it unmade: too many wait.
    pub fn refuse(self) {
        self.complete(Err(io::ErrorKind::WouldBlock.into()));
    }

    fn end(&mut self, result: io::Result<()>) {
        if let (Some(completion), Some(buffer)) = (self.completion.take(), self.buffer.take()) {
            completion.complete(result, buffer);
        }
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        self.end(Err(io::Error::new(
            io::ErrorKind::BrokenPipe,
            "the device's engine has ended",
        )));
    }
}

/// How far a transfer has come, and what an answer of the kernel means for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Whole blocks that are through, in bytes.
    pub(super) done: usize,
    interruptions: u32,
}

/// What to do after an answer.
#[derive(Debug)]
pub(super) enum Next {
    /// It is at its end.
    Complete(io::Result<()>),
    /// Ask again for what is left.
    Continue,
}

/// Answers that only ask to try again. A kernel that gives so many in a row, without a byte between them, has no
/// intention to do it.
const MAX_INTERRUPTIONS: u32 = 64;

impl Progress {
    /// Judges one answer to a request for the bytes from `done` to `length`: a count, or a negative error number.
    pub(super) fn judge(&mut self, direction: Direction, length: usize, answer: i32) -> Next {
        let Ok(count) = usize::try_from(answer) else {
            let error = io::Error::from_raw_os_error(-answer);
            let again = matches!(
                error.kind(),
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
            );
            self.interruptions += 1;
            if again && self.interruptions <= MAX_INTERRUPTIONS {
                return Next::Continue;
            }
            // Would be taken for a refusal by the engine, which says nothing against the device.
            let error = if again {
                io::Error::other(format!(
                    "the kernel asks again and again to repeat a transfer: {error}"
                ))
            } else {
                error
            };
            return Next::Complete(Err(error));
        };
        if self.done + count >= length {
            return Next::Complete(Ok(()));
        }
        // What is left must begin at a block again, as O_DIRECT asks.
        let whole = count - count % BLOCK_BYTES;
        if whole == 0 {
            let kind = match direction {
                Direction::Read => io::ErrorKind::UnexpectedEof,
                Direction::Write => io::ErrorKind::WriteZero,
            };
            let message = format!(
                "the device ended a transfer {} bytes early",
                length - self.done - count
            );
            return Next::Complete(Err(io::Error::new(kind, message)));
        }
        self.done += whole;
        self.interruptions = 0;
        Next::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type End = Option<Result<(), io::ErrorKind>>;

    /// The answers of a kernel to one transfer of four blocks, and its end.
    fn play(direction: Direction, answers: &[i32]) -> (usize, End) {
        let mut progress = Progress::default();
        let mut end = None;
        for answer in answers {
            assert!(end.is_none(), "asked again after the end");
            if let Next::Complete(result) = progress.judge(direction, 4 * BLOCK_BYTES, *answer) {
                end = Some(result.map_err(|error| error.kind()));
            }
        }
        (progress.done, end)
    }

    #[test]
    fn short_answers_are_continued_from_a_whole_block_and_errors_are_final_unless_they_ask_to_repeat() {
        use Direction::{Read, Write};
        let cases: &[(Direction, &[i32], usize, End)] = &[
            (Read, &[16384], 0, Some(Ok(()))),
            (Read, &[4096], 4096, None),
            (Read, &[5000, 12288], 4096, Some(Ok(()))),
            (Write, &[8192, 4096, 4096], 12288, Some(Ok(()))),
            (Read, &[-libc::EINTR, -libc::EAGAIN, 16384], 0, Some(Ok(()))),
            (Read, &[8192, 0], 8192, Some(Err(io::ErrorKind::UnexpectedEof))),
            (Read, &[8192, 512], 8192, Some(Err(io::ErrorKind::UnexpectedEof))),
            (Write, &[0], 0, Some(Err(io::ErrorKind::WriteZero))),
            (Write, &[-libc::ENOSPC], 0, Some(Err(io::ErrorKind::StorageFull))),
        ];
        for (direction, answers, done, end) in cases {
            assert_eq!(play(*direction, answers), (*done, *end), "{answers:?}");
        }
    }

    #[test]
    fn a_kernel_that_never_stops_asking_to_repeat_is_not_obeyed_for_ever() {
        let mut progress = Progress::default();
        let ends = (0..1000)
            .map(|_| progress.judge(Direction::Read, 4096, -libc::EAGAIN))
            .position(
                |next| matches!(next, Next::Complete(Err(error)) if error.kind() == io::ErrorKind::Other),
            );
        assert_eq!(ends, Some(MAX_INTERRUPTIONS as usize));
    }
}
