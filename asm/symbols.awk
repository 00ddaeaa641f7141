# Turns `nm --numeric-sort` into the table of function names that the panic report searches:
# a count, then per function its offset from KERNEL_BASE and its name's offset, sorted; then the names.
$2 == "t" || $2 == "T" {
    if (substr($1, 1, 8) != "ffffffff" || $1 == last) next
    last = $1
    count++
    addresses[count] = $1
    names[count] = $3
}
END {
    print ".section .kernel_symbols, \"a\""
    print ".long " count
    for (i = 1; i <= count; i++) {
        print ".long 0x" substr(addresses[i], 9) " - 0x80000000, " offset
        offset += length(names[i]) + 1
    }
    for (i = 1; i <= count; i++) print ".asciz \"" names[i] "\""
}
BEGIN { offset = 0; count = 0 }
