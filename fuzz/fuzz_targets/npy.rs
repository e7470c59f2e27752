//! `.npy` files: no panic, no hang, no memory that the file does not pay for; what is read is
//! written as a file that holds the same tensor.
#![no_main]

mod files;

use files::io::npy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(tensor) = npy::read(&files::holding("in.npy", bytes)) else { return };
    files::check(&tensor, bytes, |tensor| {
        let copy = files::file("out.npy");
        npy::write(&copy, tensor).expect("what NumPy can hold can be written");
        npy::read(&copy).expect("what was written can be read")
    });
});
