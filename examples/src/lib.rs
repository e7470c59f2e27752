//! Numbered examples live beside this package's manifest as nests and schedules; each is run and
//! verified by the tests of the command line.
#![forbid(unsafe_code)]
