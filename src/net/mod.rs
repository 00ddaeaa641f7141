//! Sockets. No driver by name here.
