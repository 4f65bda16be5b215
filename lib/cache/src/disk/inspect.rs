//! A look at a device from outside, without opening it: what lies where, and whether every checksum is right.
//!
//! Nothing is written and nothing needs to be stopped; but only while nobody writes is what looks damaged damaged. An
//! open region is walked as after a crash: behind its last record lies what an earlier life left, which is nobody's.

use super::PART_BYTES;
use super::device::aligned::AlignedBuffer;
use super::device::{BLOCK_BYTES, Device};
use super::format::journal;
use super::format::record::{CHECKSUM_UNIT, HEADER_BYTES, Kind, RecordHeader, is_intact, span_of};
use super::format::region::{self, FooterEntry, Region, Trailer};
use super::format::superblock::{self, Foreign, OFFSETS, Superblock};
use super::format::{FORMAT_VERSION, Geometry, UNIT_BYTES};
use std::fmt;
use std::io;
use std::ops::Range;

/// So much is read at once: the largest record, and many small ones.
const WINDOW_BYTES: u64 = 8 << 20;

/// What some bytes of the device are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Piece {
    Superblock,
    /// A block of the purge journal, in one of its two copies.
    Journal,
    RegionHeader,
    /// The list of what a sealed region holds, and its trailer.
    Footer,
    RecordHeader,
    /// The checksums of a body.
    Table,
    /// What is known of an object: its key and its fields.
    Metadata,
    /// Bytes of an object.
    Body,
    Tombstone,
}

impl fmt::Display for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Piece::Superblock => "superblock",
            Piece::Journal => "purge journal",
            Piece::RegionHeader => "region header",
            Piece::Footer => "region footer",
            Piece::RecordHeader => "record header",
            Piece::Table => "checksum table",
            Piece::Metadata => "metadata",
            Piece::Body => "body",
            Piece::Tombstone => "tombstone",
        })
    }
}

/// Bytes of the device whose meaning is known. Those of a record come one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    pub piece: Piece,
    /// From the start of the device.
    pub offset: u64,
    pub bytes: u64,
    /// Whether its checksum is right.
    pub intact: bool,
    /// Of what is there twice: the first, 0, or the second, 1.
    pub copy: u8,
    /// The record that it belongs to; of one whose header is damaged, what its region's list says.
    pub record: Option<Record>,
}

/// One version of something that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record {
    pub key_hash: u128,
    pub version: u64,
    /// `None` for a head, and for its removal.
    pub part: Option<u32>,
    /// Of two records that are otherwise the same the later one, which has the higher of these, is the one that is found.
    pub written: (u64, u64),
}

impl Record {
    fn of(region: &Region, offset: u64, key_hash: u128, version: u64, part: Option<u32>) -> Record {
        Record {
            key_hash,
            version,
            part,
            written: (region.life.sequence, offset),
        }
    }
}

/// What the regions of one class hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Contents {
    pub sealed_regions: u32,
    /// Being filled, or left so by a crash.
    pub open_regions: u32,
    pub heads: u64,
    pub parts: u64,
    pub tombstones: u64,
    /// Everything of these records, in bytes.
    pub record_bytes: u64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub format_version: u32,
    pub uuid: u128,
    pub region_bytes: u64,
    pub region_count: u32,
    /// Blocks of the purge journal that hold something, both copies of each.
    pub journal_blocks: u64,
    /// By class: S, then M.
    pub classes: [Contents; 2],
    /// Regions without header and footer: free, or damaged at both ends.
    pub empty_regions: u32,
    /// What is damaged.
    pub damage: Vec<Extent>,
}

/// Why there is nothing to inspect.
#[derive(Debug)]
pub enum Refusal {
    /// Neither superblock is one of ours.
    NotOurs,
    /// Written by a release with another format.
    OtherVersion(u32),
    /// The superblock speaks of more than there is.
    TooShort { needed_bytes: u64 },
    /// The device refuses to read.
    Failed(io::Error),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotOurs => f.write_str("neither superblock is one of Millrace's, or both are damaged"),
            Refusal::OtherVersion(version) => {
                write!(
                    f,
                    "it has format version {version}, this release reads {FORMAT_VERSION}"
                )
            }
            Refusal::TooShort { needed_bytes } => {
                write!(
                    f,
                    "its superblock speaks of {needed_bytes} bytes, and there are fewer"
                )
            }
            Refusal::Failed(_) => f.write_str("it cannot be read"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Refusal::Failed(error) => Some(error),
            Refusal::NotOurs | Refusal::OtherVersion(_) | Refusal::TooShort { .. } => None,
        }
    }
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Refusal {
        Refusal::Failed(error)
    }
}

/// Reads all of `device` that holds something, calls `visit` with every extent in the order in which it is read, and
/// reports.
///
/// Fails when the device is not ours or refuses to read.
pub fn inspect(device: &dyn Device, visit: &mut dyn FnMut(Extent)) -> Result<Report, Refusal> {
    let (superblock, copies) = superblocks(device)?;
    let Superblock { geometry, uuid } = superblock;
    let needed_bytes = geometry.start_of(geometry.region_count);
    if geometry.region_bytes < 2 * BLOCK_BYTES as u64 || needed_bytes > device.size() {
        return Err(Refusal::TooShort { needed_bytes });
    }
    let mut inspector = Inspector {
        geometry,
        uuid,
        window: Window::new(device),
        report: Report {
            format_version: FORMAT_VERSION,
            uuid,
            region_bytes: geometry.region_bytes,
            region_count: geometry.region_count,
            journal_blocks: 0,
            classes: Default::default(),
            empty_regions: 0,
            damage: Vec::new(),
        },
        visit,
    };
    for (copy, (offset, intact)) in copies.into_iter().enumerate() {
        let place = offset..offset + superblock::USED_BYTES;
        inspector.met_copy(copy, Piece::Superblock, place, intact);
    }
    inspector.journal()?;
    for number in 0..geometry.region_count {
        inspector.region(number)?;
    }
    Ok(inspector.report)
}

/// The superblock, and which of its copies are intact.
fn superblocks(device: &dyn Device) -> Result<(Superblock, [(u64, bool); OFFSETS.len()]), Refusal> {
    let mut found = Err(Foreign::Unknown);
    let mut copies = OFFSETS.map(|offset| (offset, false));
    for (offset, intact) in &mut copies {
        if *offset + BLOCK_BYTES as u64 > device.size() {
            return Err(Refusal::NotOurs);
        }
        let mut block = AlignedBuffer::zeroed(BLOCK_BYTES);
        device.read_at(*offset, &mut block)?;
        let copy = Superblock::decode(&block);
        *intact = copy.is_ok();
        found = match (found, copy) {
            (Ok(first), _) => Ok(first),
            (Err(Foreign::OtherVersion(version)), Err(_)) => Err(Foreign::OtherVersion(version)),
            (Err(_), copy) => copy,
        };
    }
    match found {
        Ok(superblock) => Ok((superblock, copies)),
        Err(Foreign::Unknown) => Err(Refusal::NotOurs),
        Err(Foreign::OtherVersion(version)) => Err(Refusal::OtherVersion(version)),
    }
}

struct Inspector<'a> {
    geometry: Geometry,
    uuid: u128,
    window: Window<'a>,
    report: Report,
    visit: &'a mut dyn FnMut(Extent),
}

/// A record as its region's footer or the walk says it is.
struct Expected<'a> {
    region: &'a Region,
    /// From the start of the device.
    offset: u64,
    /// What the footer says of it.
    listed: Option<&'a FooterEntry>,
}

impl Inspector<'_> {
    fn met(&mut self, piece: Piece, offset: u64, bytes: u64, intact: bool) {
        let extent = Extent {
            piece,
            offset,
            bytes,
            intact,
            copy: 0,
            record: None,
        };
        self.met_extent(extent);
    }

    fn met_extent(&mut self, extent: Extent) {
        (self.visit)(extent);
        if !extent.intact {
            self.report.damage.push(extent);
        }
    }

    fn met_copy(&mut self, copy: usize, piece: Piece, place: Range<u64>, intact: bool) {
        self.met_extent(Extent {
            piece,
            offset: place.start,
            bytes: place.end - place.start,
            intact,
            copy: copy as u8,
            record: None,
        });
    }

    /// Both copies of both halves; the older half and what lies behind the last commit are intact blocks too, or zeros.
    fn journal(&mut self) -> io::Result<()> {
        let area = journal::Area::of(&self.geometry);
        let block_bytes = BLOCK_BYTES as u64;
        for place in 0..4 {
            for number in 0..area.blocks() {
                let offset = area.offset(place % 2, place / 2, number);
                let block = self.window.bytes(offset..offset + block_bytes)?;
                if block.iter().all(|byte| *byte == 0) {
                    continue;
                }
                let header = journal::Header::decode(self.uuid, block, &mut Vec::new());
                let intact = header.is_some_and(|header| header.number == number);
                self.report.journal_blocks += 1;
                self.met_copy(place / 2, Piece::Journal, offset..offset + block_bytes, intact);
            }
        }
        Ok(())
    }

    fn region(&mut self, number: u32) -> io::Result<()> {
        let start = self.geometry.start_of(number);
        let end = start + self.geometry.region_bytes;
        let block = BLOCK_BYTES as u64;
        let mut halves = [None; 2];
        let header = self.window.bytes(start..start + block)?;
        for (half, found) in header.chunks(BLOCK_BYTES / 2).zip(&mut halves) {
            // Alone in a block: what is found is this copy.
            let mut alone = vec![0; BLOCK_BYTES];
            alone[..half.len()].copy_from_slice(half);
            *found = Region::decode(self.uuid, number, &alone);
        }
        let trailer = Trailer::decode(self.uuid, number, self.window.bytes(end - block..end)?);
        let header = halves[0].or(halves[1]);
        let sealed = trailer.filter(|trailer| header.is_none_or(|header| header.life == trailer.region.life));
        let Some(region) = header.or(sealed.map(|trailer| trailer.region)) else {
            self.report.empty_regions += 1;
            return Ok(());
        };
        for (copy, found) in halves.iter().enumerate() {
            let offset = start + copy as u64 * block / 2;
            let place = offset..offset + region::HEADER_USED_BYTES;
            self.met_copy(copy, Piece::RegionHeader, place, found.is_some());
        }
        let entries = match sealed {
            Some(trailer) => self.footer(end, &trailer)?,
            None => None,
        };
        let contents = &mut self.report.classes[region.class.index()];
        match sealed {
            Some(_) => contents.sealed_regions += 1,
            None => contents.open_regions += 1,
        }
        match entries {
            Some(entries) => {
                for entry in &entries {
                    let offset = start + entry.location(number).offset_bytes();
                    self.record(&Expected {
                        region: &region,
                        offset,
                        listed: Some(entry),
                    })?;
                }
                Ok(())
            }
            None => self.walk(&region, start),
        }
    }

    /// The entries of a sealed region's footer; none when they are damaged.
    fn footer(&mut self, end: u64, trailer: &Trailer) -> io::Result<Option<Vec<FooterEntry>>> {
        let block = BLOCK_BYTES as u64;
        let Some(bytes) = trailer.footer_bytes(&self.geometry) else {
            self.met(Piece::Footer, end - block, block, false);
            return Ok(None);
        };
        // Footers of regions full of the smallest records are longer than a window: they are read by themselves.
        let mut footer = AlignedBuffer::zeroed(bytes as usize);
        self.window.device.read_at(end - bytes, &mut footer)?;
        let entries = trailer.entries(&self.geometry, &footer);
        self.met(Piece::Footer, end - bytes, bytes, entries.is_some());
        Ok(entries)
    }

    /// From record to record, and over what is none; what lies before another record of this life is damage.
    fn walk(&mut self, region: &Region, start: u64) -> io::Result<()> {
        let end = start + self.geometry.region_bytes;
        let mut at = start + BLOCK_BYTES as u64;
        let mut hole: Option<u64> = None;
        while at + UNIT_BYTES <= end {
            let unit = self.window.bytes(at..at + UNIT_BYTES)?;
            let header = RecordHeader::decode_unit(unit)
                .filter(|header| header.life == region.life.life && at + header.span() <= end);
            let Some(header) = header else {
                hole.get_or_insert(at);
                at += UNIT_BYTES;
                continue;
            };
            if let Some(from) = hole.take() {
                self.met(Piece::RecordHeader, from, at - from, false);
            }
            match header.kind {
                Kind::End => return Ok(()),
                Kind::Padding => {}
                Kind::Head | Kind::Part | Kind::Tombstone => self.record(&Expected {
                    region,
                    offset: at,
                    listed: None,
                })?,
            }
            at += header.span();
        }
        Ok(())
    }

    fn record(&mut self, expected: &Expected<'_>) -> io::Result<()> {
        let at = expected.offset;
        let unit = self.window.bytes(at..at + UNIT_BYTES)?;
        let header = RecordHeader::decode_unit(unit).filter(|header| expected.is_met_by(header));
        let named = header.map(|header| (header.kind, header.key_hash, header.version, header.part));
        let listed = expected
            .listed
            .map(|entry| (entry.kind, entry.key_hash, entry.version, entry.part));
        let record = named.or(listed).map(|(kind, key_hash, version, part)| {
            let part = (kind == Kind::Part).then_some(part);
            Record::of(expected.region, at, key_hash, version, part)
        });
        let piece = |piece, offset, bytes, intact| Extent {
            piece,
            offset,
            bytes,
            intact,
            copy: 0,
            record,
        };
        let Some(header) = header else {
            self.met_extent(piece(Piece::RecordHeader, at, HEADER_BYTES as u64, false));
            return Ok(());
        };
        let contents = &mut self.report.classes[expected.region.class.index()];
        contents.record_bytes += header.span();
        match header.kind {
            Kind::Head => contents.heads += 1,
            Kind::Part => contents.parts += 1,
            Kind::Tombstone | Kind::Padding | Kind::End => {
                contents.tombstones += 1;
                self.met_extent(piece(Piece::Tombstone, at, HEADER_BYTES as u64, true));
                return Ok(());
            }
        }
        self.met_extent(piece(Piece::RecordHeader, at, HEADER_BYTES as u64, true));
        let body_start = header.body_start();
        let bytes = self.window.bytes(at..at + header.span())?;
        let table = header.table(bytes);
        let has_table = table.is_some();
        let body = &bytes[body_start..body_start + header.body_length as usize];
        let units: Vec<(u64, bool)> = body
            .chunks(CHECKSUM_UNIT)
            .enumerate()
            .map(|(number, unit)| {
                // Without the table nobody can say; the table is the damage then.
                let intact = table.is_none_or(|table| is_intact(table, number, unit));
                (unit.len() as u64, intact)
            })
            .collect();
        let table_bytes = (body_start - HEADER_BYTES) as u64;
        self.met_extent(piece(
            Piece::Table,
            at + HEADER_BYTES as u64,
            table_bytes,
            has_table,
        ));
        let kind = match header.kind {
            Kind::Head => Piece::Metadata,
            _ => Piece::Body,
        };
        let mut offset = at + body_start as u64;
        for (bytes, intact) in units {
            self.met_extent(piece(kind, offset, bytes, intact));
            offset += bytes;
        }
        Ok(())
    }
}

impl Expected<'_> {
    fn is_met_by(&self, header: &RecordHeader) -> bool {
        let listed = self.listed.is_none_or(|entry| {
            (header.kind, header.key_hash, header.version, header.part)
                == (entry.kind, entry.key_hash, entry.version, entry.part)
                && header.span() == entry.location(0).length_bytes()
        });
        header.life == self.region.life.life && listed
    }
}

/// A piece of the device, moved along with the look at it.
struct Window<'a> {
    device: &'a dyn Device,
    start: u64,
    buffer: AlignedBuffer,
}

impl<'a> Window<'a> {
    fn new(device: &'a dyn Device) -> Window<'a> {
        const { assert!(WINDOW_BYTES >= PART_BYTES + (1 << 20)) };
        Window {
            device,
            start: 0,
            buffer: AlignedBuffer::zeroed(0),
        }
    }

    /// At most a record's bytes.
    fn bytes(&mut self, range: Range<u64>) -> io::Result<&[u8]> {
        debug_assert!(range.end - range.start <= span_of(PART_BYTES as usize));
        let end = self.start + self.buffer.len() as u64;
        if range.start < self.start || range.end > end {
            let block = BLOCK_BYTES as u64;
            let start = range.start - range.start % block;
            let size = self.device.size() - self.device.size() % block;
            let mut buffer = AlignedBuffer::zeroed(WINDOW_BYTES.min(size.saturating_sub(start)) as usize);
            self.device.read_at(start, &mut buffer)?;
            (self.start, self.buffer) = (start, buffer);
        }
        let inside = (range.start - self.start) as usize..(range.end - self.start) as usize;
        self.buffer
            .get(inside)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }
}
