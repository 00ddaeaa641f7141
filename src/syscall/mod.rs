//! The system call table and each call's checks and conversions. No state here.
