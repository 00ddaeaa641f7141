//! Pure data structures and algorithms: no hardware, no Linux, no other room. Host-tested.
