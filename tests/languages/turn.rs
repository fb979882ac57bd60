// SPDX-License-Identifier: MIT
// turn.rs - one member of a ring of processes, in Rust: see turn.c.
//
// The standard library has neither mmap nor xattrs; the C library has, and is linked
// anyway.
use std::ffi::{c_void, CString};
use std::fs::{File, OpenOptions};
use std::io::{Error, Result};
use std::os::raw::{c_char, c_int};
use std::os::unix::io::AsRawFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const NAME_AT: usize = 64;
const NAME_BYTES: usize = 16;
const LINE_BYTES: usize = 32;
const PROT_READ_WRITE: c_int = 3;
const MAP_SHARED: c_int = 1;

extern "C" {
    fn mmap(at: *mut c_void, size: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64)
        -> *mut c_void;
    fn fsetxattr(fd: c_int, name: *const c_char, value: *const c_void, size: usize, flags: c_int)
        -> c_int;
}

/// A buffer that is mapped until the process ends.
struct Mapping {
    memory: *mut u8,
    size: usize,
}

impl Mapping {
    fn new(file: &File) -> Result<Mapping> {
        let size = file.metadata()?.len() as usize;
        let memory = unsafe {
            mmap(std::ptr::null_mut(), size, PROT_READ_WRITE, MAP_SHARED, file.as_raw_fd(), 0)
        };
        if memory as isize == -1 {
            return Err(Error::last_os_error());
        }
        Ok(Mapping { memory: memory as *mut u8, size })
    }

    fn word(&self) -> &AtomicU32 {
        unsafe { &*(self.memory as *const AtomicU32) }
    }

    // Others store into this memory too: it is copied, and never borrowed.
    fn get(&self, at: usize, bytes: &mut [u8]) {
        assert!(at + bytes.len() <= self.size);
        unsafe { std::ptr::copy(self.memory.add(at), bytes.as_mut_ptr(), bytes.len()) }
    }

    fn put(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.size);
        unsafe { std::ptr::copy(bytes.as_ptr(), self.memory.add(at), bytes.len()) }
    }
}

fn make(path: &str, spec: &str) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
    let name = CString::new("user.iobuf")?;
    let value = spec.as_ptr() as *const c_void;
    match unsafe { fsetxattr(file.as_raw_fd(), name.as_ptr(), value, spec.len(), 0) } {
        0 => Ok(file),
        _ => Err(Error::last_os_error()),
    }
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let (dir, name, spec) = (&args[1], &args[2], &args[3]);
    let numbers: Vec<u32> = args[4..7].iter().map(|a| a.parse().unwrap()).collect();
    let (index, members, rounds) = (numbers[0], numbers[1], numbers[2]);

    let log = Mapping::new(&make(&format!("{}/{}", dir, name), spec)?)?;
    let page = Mapping::new(
        &OpenOptions::new().read(true).write(true).open(format!("{}/page", dir))?,
    )?;
    let mut own = [0u8; NAME_BYTES];
    own[..name.len()].copy_from_slice(name.as_bytes());

    for turn in 0..rounds {
        let mine = turn * members + index;
        while page.word().load(Ordering::Acquire) != mine {
            std::thread::sleep(Duration::from_micros(100));
        }
        let mut before = [0u8; NAME_BYTES];
        page.get(NAME_AT, &mut before);
        let text = String::from_utf8_lossy(&before);
        let line = format!("{:<15}{:<16}\n", mine, text.trim_end_matches('\0'));
        log.put(turn as usize * LINE_BYTES, line.as_bytes());
        page.put(NAME_AT, &own);
        page.word().store(mine + 1, Ordering::Release);
    }
    Ok(())
}
