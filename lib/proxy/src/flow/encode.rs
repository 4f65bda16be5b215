//! The encoders: bytes in, bytes of a content coding out (RFC 9110 §8.4.1).

use std::io::{self, Write};

use cache::policy::coding::Coding;

/// Where zlib's own scale has its knee, and nginx's and Apache's users put it.
const GZIP_LEVEL: u32 = 6;

/// Denser than gzip at its best, in about the time of gzip's default; the levels above cost a multiple.
const BROTLI_QUALITY: i32 = 5;

/// The window of Brotli in powers of two: 4 MiB, more than is compressed as a rule.
const BROTLI_WINDOW: i32 = 22;

/// As dense as Brotli's above, in less time. Its window stays below the 8 MiB that clients have to take (RFC 9659).
const ZSTANDARD_LEVEL: i32 = 6;

/// `plain` in `coding`. It takes milliseconds for each hundred kilobytes: not for a thread that serves.
///
/// # Errors
/// When the encoder fails, which none does for want of anything but memory.
pub fn encode(coding: Coding, plain: &[u8]) -> io::Result<Vec<u8>> {
    match coding {
        Coding::Identity => Ok(plain.to_vec()),
        Coding::Gzip => {
            let room = Vec::with_capacity(plain.len() / 4);
            let mut encoder = flate2::write::GzEncoder::new(room, flate2::Compression::new(GZIP_LEVEL));
            encoder.write_all(plain)?;
            encoder.finish()
        }
        Coding::Brotli => {
            let mut encoded = Vec::with_capacity(plain.len() / 4);
            let parameters = brotli::enc::BrotliEncoderParams {
                quality: BROTLI_QUALITY,
                lgwin: BROTLI_WINDOW,
                size_hint: plain.len(),
                ..Default::default()
            };
            brotli::BrotliCompress(&mut &*plain, &mut encoded, &parameters)?;
            Ok(encoded)
        }
        Coding::Zstandard => zstd::bulk::compress(plain, ZSTANDARD_LEVEL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn decode(coding: Coding, encoded: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        match coding {
            Coding::Identity => plain.extend_from_slice(encoded),
            Coding::Gzip => {
                flate2::read::GzDecoder::new(encoded)
                    .read_to_end(&mut plain)
                    .unwrap();
            }
            Coding::Brotli => {
                brotli::Decompressor::new(encoded, 4096)
                    .read_to_end(&mut plain)
                    .unwrap();
            }
            Coding::Zstandard => {
                zstd::stream::read::Decoder::new(encoded)
                    .unwrap()
                    .read_to_end(&mut plain)
                    .unwrap();
            }
        }
        plain
    }

    #[test]
    fn every_coding_gives_back_what_went_in_and_makes_text_small() {
        let text: String = (0..5000)
            .map(|number| format!("#EXTINF:4,\n{number}.m4s\n"))
            .collect();
        for coding in Coding::ALL {
            for plain in [&b""[..], b"a", text.as_bytes()] {
                let encoded = encode(coding, plain).unwrap();
                assert_eq!(decode(coding, &encoded), plain, "{coding:?}");
            }
            let encoded = encode(coding, text.as_bytes()).unwrap().len();
            assert!(
                coding == Coding::Identity || encoded < text.len() / 4,
                "{coding:?}: {encoded}"
            );
        }
    }
}
