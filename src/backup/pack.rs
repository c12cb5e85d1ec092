//! zstd as a writer and as a reader, over the library's bare streams: one frame, with a checksum.

use std::io::{self, BufReader, Read, Write};

use zstd_safe::zstd_sys::ZSTD_EndDirective;
use zstd_safe::{CCtx, CParameter, DCtx, InBuffer, OutBuffer, SafeResult};

/// zstd's own default.
const LEVEL: i32 = 3;

const BUFFER_BYTES: usize = 128 << 10;

fn checked(outcome: SafeResult) -> io::Result<usize> {
    outcome.map_err(|code| {
        let name = zstd_safe::get_error_name(code);
        io::Error::new(io::ErrorKind::InvalidData, format!("not sound as zstd: {name}"))
    })
}

/// Packs what is written to it.
pub struct Packer<W> {
    context: CCtx<'static>,
    buffer: Vec<u8>,
    out: W,
}

impl<W: Write> Packer<W> {
    /// A frame into `out`.
    ///
    /// # Errors
    /// For want of memory.
    pub fn new(out: W) -> io::Result<Self> {
        let short = || io::Error::from(io::ErrorKind::OutOfMemory);
        let mut context = CCtx::try_create().ok_or_else(short)?;
        checked(context.set_parameter(CParameter::CompressionLevel(LEVEL)))?;
        checked(context.set_parameter(CParameter::ChecksumFlag(true)))?;
        Ok(Packer { context, buffer: vec![0; BUFFER_BYTES], out })
    }

    /// Ends the frame, and gives back where it went to.
    ///
    /// # Errors
    /// When that takes no more.
    pub fn finish(mut self) -> io::Result<W> {
        while self.step(&mut InBuffer::around(&[]), ZSTD_EndDirective::ZSTD_e_end)? > 0 {}
        Ok(self.out)
    }

    /// How much zstd still holds back, at least.
    fn step(&mut self, input: &mut InBuffer<'_>, end: ZSTD_EndDirective) -> io::Result<usize> {
        let mut packed = OutBuffer::around(&mut self.buffer[..]);
        let left = checked(self.context.compress_stream2(&mut packed, input, end))?;
        let length = packed.pos();
        self.out.write_all(&self.buffer[..length])?;
        Ok(left)
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut input = InBuffer::around(bytes);
        while input.pos() < bytes.len() {
            self.step(&mut input, ZSTD_EndDirective::ZSTD_e_continue)?;
        }
        Ok(bytes.len())
    }

    /// What was written stays in hand until there is enough of it, or [`Packer::finish`].
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Unpacks what it reads. The end of the input within a frame is an error.
pub struct Unpacker<R> {
    context: DCtx<'static>,
    input: BufReader<R>,
    /// Nothing is open: the input may end here.
    is_between: bool,
}

impl<R: Read> Unpacker<R> {
    /// The frames in `input`.
    ///
    /// # Errors
    /// For want of memory.
    pub fn new(input: R) -> io::Result<Self> {
        let short = || io::Error::from(io::ErrorKind::OutOfMemory);
        let context = DCtx::try_create().ok_or_else(short)?;
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Ok(Unpacker { context, input, is_between: false })
    }
}

impl<R: Read> Read for Unpacker<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        use io::BufRead as _;
        while !bytes.is_empty() {
            let packed = self.input.fill_buf()?;
            let is_end = packed.is_empty();
            if is_end && self.is_between {
                break;
            }
            let (mut input, mut out) = (InBuffer::around(packed), OutBuffer::around(&mut *bytes));
            let left = checked(self.context.decompress_stream(&mut out, &mut input))?;
            let (taken, given) = (input.pos(), out.pos());
            self.input.consume(taken);
            self.is_between = left == 0;
            if given > 0 {
                return Ok(given);
            }
            if is_end && !self.is_between {
                let problem = "it ends within its zstd frame";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, problem));
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut packer = Packer::new(Vec::new()).unwrap();
        for piece in plain.chunks(70_001) {
            packer.write_all(piece).unwrap();
        }
        packer.finish().unwrap()
    }

    fn unpacked(packed: &[u8]) -> io::Result<Vec<u8>> {
        let mut plain = Vec::new();
        Unpacker::new(packed)?.read_to_end(&mut plain)?;
        Ok(plain)
    }

    #[test]
    fn what_is_packed_comes_back_and_each_cut_and_flip_is_found() {
        let noise = |at: u32| at.wrapping_mul(2_654_435_761).to_be_bytes()[0];
        let long: Vec<u8> = (0..700_000).map(|at| noise(at / 3)).collect();
        for plain in [&b""[..], b"x", &long] {
            assert_eq!(unpacked(&packed(plain)).unwrap(), plain);
        }
        let small = packed(b"some words that are packed, and then once more: some words");
        for length in 0..small.len() {
            assert!(unpacked(&small[..length]).is_err(), "cut at {length}");
        }
        for at in 0..small.len() {
            let mut damaged = small.clone();
            damaged[at] ^= 4;
            // A few bits of the head say nothing of the content.
            if let Ok(plain) = unpacked(&damaged) {
                assert_eq!(plain, unpacked(&small).unwrap(), "byte {at}");
            }
        }
        let twice = [small.clone(), small].concat();
        assert_eq!(unpacked(&twice).unwrap().len(), 116, "two frames in a row");
    }
}
