# A Rust program with threads and channels, built on the host.
export LC_ALL=C
/tests/channels 2> messages; echo $?
sed 's/([0-9]*)/(ID)/' messages
