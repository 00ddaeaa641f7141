dd if=/dev/zero bs=1M count=64 2>/dev/null | tr '\0' 'x' > big
md5sum big; ls -l big | awk '{ print $5 }'
cp big copy; cmp big copy && echo the same; rm big; sha1sum copy
