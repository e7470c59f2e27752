//! `.safetensors` files: no panic, no hang, no memory that the file does not pay for; what is read
//! is written as a file that holds the same tensor.
#![no_main]

mod files;

use files::io::safetensors;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path = files::holding("in.safetensors", bytes);
    for name in [None, Some("a"), Some("b")] {
        let Ok(tensor) = safetensors::read(&path, name) else { continue };
        files::check(&tensor, bytes, |tensor| {
            let copy = files::file("out.safetensors");
            safetensors::write(&copy, &[("x", tensor)]).expect("it can be written");
            safetensors::read(&copy, Some("x")).expect("what was written can be read")
        });
    }
});
