//! Numbered examples are the programs in `src/bin`, each of which asserts its result; nests and
//! schedules beside this package's manifest are run and verified by the tests of the command line.
#![forbid(unsafe_code)]
