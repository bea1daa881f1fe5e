//! Cyclic redundancy checks, eight bytes at a time.
//!
//! The crates for them bring a kilobyte or more of tables or code for each. Here the tables are made when they are
//! needed. One code serves all checks that S3 and Google use: they are reflected, and begin and end with all bits
//! inverted.

/// CRC-32/ISO-HDLC of <https://reveng.sourceforge.io/crc-catalogue/all.htm>.
pub const CRC32: Polynomial = Polynomial { reflected: 0x04C1_1DB7_u32.reverse_bits() as u64, all: u32::MAX as u64 };
/// CRC-32/ISCSI.
pub const CRC32C: Polynomial = Polynomial { reflected: 0x1EDC_6F41_u32.reverse_bits() as u64, all: u32::MAX as u64 };
/// CRC-64/NVME.
pub const CRC64_NVME: Polynomial = Polynomial { reflected: 0xAD93_D235_94C9_3659_u64.reverse_bits(), all: u64::MAX };

/// The polynomial of a check.
#[derive(Clone, Copy)]
pub struct Polynomial {
    reflected: u64,
    /// All bits of the check.
    all: u64,
}

/// The check of the bytes so far.
pub struct Crc {
    of: Polynomial,
    /// The effect of a byte on the remainder when 0 to 7 other bytes follow: "slicing by 8" (Kounavis and Berry,
    /// 2008).
    tables: Box<[Table; 8]>,
    remainder: u64,
}

type Table = [u64; 256];

impl Crc {
    pub fn new(of: Polynomial) -> Self {
        let mut first = [0; 256];
        for (byte, entry) in (0..).zip(&mut first) {
            *entry = (0..8).fold(byte, |rest, _| (rest >> 1) ^ if rest & 1 == 1 { of.reflected } else { 0 });
        }
        let (mut tables, mut table) = (Box::new([first; 8]), first);
        for further in tables.iter_mut().skip(1) {
            table = table.map(|entry| step(&first, entry, 0));
            *further = table;
        }
        Self { of, tables, remainder: of.all }
    }

    pub fn update(&mut self, bytes: &[u8]) {
        let [first, t1, t2, t3, t4, t5, t6, t7] = &*self.tables;
        let (eights, rest) = bytes.as_chunks();
        for eight in eights {
            let [a, b, c, d, e, f, g, h] = (self.remainder ^ u64::from_le_bytes(*eight)).to_le_bytes();
            self.remainder =
                at(t7, a) ^ at(t6, b) ^ at(t5, c) ^ at(t4, d) ^ at(t3, e) ^ at(t2, f) ^ at(t1, g) ^ at(first, h);
        }
        for byte in rest {
            self.remainder = step(first, self.remainder, *byte);
        }
    }

    /// Returns the check, most significant byte first, as S3 and Google write it.
    pub fn value(&self) -> Vec<u8> {
        let unused = self.of.all.leading_zeros() / u8::BITS;
        let value = (self.remainder ^ self.of.all).to_be_bytes();
        value.into_iter().skip(usize::try_from(unused).unwrap_or_default()).collect()
    }
}

fn step(first: &Table, remainder: u64, byte: u8) -> u64 {
    let [lowest, ..] = remainder.to_le_bytes();
    (remainder >> 8) ^ at(first, lowest ^ byte)
}

fn at(table: &Table, byte: u8) -> u64 {
    table.get(usize::from(byte)).copied().unwrap_or_default()
}
