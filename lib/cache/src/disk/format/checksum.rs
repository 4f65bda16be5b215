//! CRC-32C (RFC 3720 §12.1), the checksum of everything on the disk: with the instructions that the processor has, up to
//! AVX-512, several times as fast as a drive.

use crc_fast::CrcAlgorithm;

/// The CRC-32C of `bytes`.
#[must_use]
pub(in crate::disk) fn crc32c(bytes: &[u8]) -> u32 {
    // The upper half is always zero: it is a checksum of 32 bits.
    crc_fast::checksum(CrcAlgorithm::Crc32Iscsi, bytes) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 3720 §B.4.
    #[test]
    fn the_checksums_of_the_rfc_come_out() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
        assert_eq!(crc32c(&ascending), 0x46dd_794e);
        assert_eq!(crc32c(&descending), 0x113f_db5c);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
    }
}
