//! poll, select, epoll.
