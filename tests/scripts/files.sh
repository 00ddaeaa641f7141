mkdir -p a/b/c; touch a/1 a/b/2 a/b/c/3; ln -s ../1 a/b/link; ln a/1 a/hard
find a | sort; find a -type f | sort; find a -type l -exec readlink {} \;; find a -name '[23]' | sort
stat -c '%F %a %h' a; stat -c '%F %a %h %s' a/1 a/b/link; chmod 640 a/1; ls -l a/hard | cut -c1-10
mv a/b a/moved; ls -R a; rm -r a/moved/c; ls a/moved
cp -r a copy; diff -r a copy && echo the same; rm -rf a; ls a 2>&1
mkdir x; rmdir x; rmdir x 2>&1; mkdir -m 700 y; stat -c %a y
echo data > f; truncate -s 3 f; cat f; echo; truncate -s 10 f; wc -c < f
dd if=/dev/zero of=big bs=1k count=300 2>/dev/null; dd if=big bs=1k skip=299 2>/dev/null | wc -c; ls -s big | cut -d' ' -f2
touch -d '2001-02-03 04:05:06' f; date -u -r f '+%s' > /dev/null; stat -c %Y f
umask 027; touch masked; mkdir maskeddir; stat -c %a masked maskeddir
ln -s loop loop; cat loop 2>&1; ln -s missing dangling; cat dangling 2>&1; readlink -f dangling | sed 's/.*\///'
echo x > n; chmod 000 n; test -r n && echo root reads; mv n f/ 2>&1; cat f/ 2>&1; cd missing 2>&1
chown 12:34 f; stat -c '%u %g' f; touch "name with spaces" -- -dash; ls; du -s . > /dev/null; df > /dev/null; sync; mktemp -d XXXXXX > /dev/null && echo made
