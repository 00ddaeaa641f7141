# git on a tree of a thousand files: init, commit, branch, merge, log, gc, clone.
export HOME=$PWD GIT_AUTHOR_DATE='2024-01-01T00:00:00Z' GIT_COMMITTER_DATE='2024-01-01T00:00:00Z' LC_ALL=C TZ=UTC
git config --global user.name Tester; git config --global user.email tester@example.org; git config --global init.defaultBranch main
git config --global advice.detachedHead false
git init -q work && cd work
for folder in {0..9}; do mkdir dir$folder; for file in {0..99}; do echo "file $file of $folder" > dir$folder/file$file; done; done
git add . && git commit -q -m first && git log --format='%H %s'
git status --short | wc -l
git ls-files | wc -l
sed -i s/file/FILE/ dir3/*; git rm -q dir4/file1; git mv dir5/file1 dir5/moved; chmod +x dir0/file0
git commit -q -a -m second && git log --oneline --stat | tail -n 1; git show --stat --format=%s | tail -n 3
git checkout -q -b side HEAD~1 && echo side > dir9/side && git add . && git commit -q -m side
git checkout -q main && git merge -q -m merged side && git log --graph --format=%s
git diff HEAD~2 --shortstat; git blame -s dir3/file7; git grep -c FILE | wc -l; git tag -a -m one v1 && git describe
git stash list; echo dirty >> dir0/file0; git stash -q; git stash pop -q; git diff --stat; git checkout -q -- .
git gc -q && git count-objects -v | grep -E '^(count|packs|in-pack)'; git fsck --full; git repack -adq --threads=2; git verify-pack .git/objects/pack/*.pack && echo verified
cd .. && git clone -q work copy && cd copy && git log --format=%s | head -n 1 && find . -path ./.git -prune -o -type f -print | wc -l
git clone -q --bare ../work ../bare.git && git remote add bare ../bare.git && echo more > more && git add more && git commit -q -m more && git push -q bare main && git --git-dir=../bare.git log -1 --format=%s
git fetch -q bare && git rebase -q bare/main && git bisect start HEAD HEAD~2 | tail -n 1; git bisect reset 2> /dev/null; git worktree add -q ../tree HEAD~1 && ls ../tree | wc -l; git archive HEAD | tar tf - | wc -l; git submodule status; echo $?
git rev-parse HEAD
