mkdir tree; for i in 1 2 3 4 5 6 7 8 9; do seq 1 $((i * 1000)) > tree/$i; done; ln -s 1 tree/link; mkdir -p tree/deep/er
tar cf - tree | gzip > tree.tar.gz; mkdir out; gzip -dc tree.tar.gz | tar xf - -C out; diff -r tree out/tree && echo tar and gzip agree
(cd tree && md5sum 1 5 9 && sha256sum 3 && sha1sum 4)
tar tzf tree.tar.gz | sort; find tree | sort | cpio -o -H newc 2>/dev/null > tree.cpio; mkdir out2; (cd out2; cpio -id < ../tree.cpio 2>/dev/null); diff -r tree out2/tree && echo cpio agrees
bzip2 -k tree/9; bunzip2 -c tree/9.bz2 | cmp - tree/9 && echo bzip2 agrees; xz -dc /dev/null; unzip 2>&1 | head -n 1 | cut -c1-5
