//! Terminals: consoles, line discipline, pseudo-terminals.
