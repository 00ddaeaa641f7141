# procps and util-linux: about processes that this script makes.
export LC_ALL=C
sleep 1000 & victim=$!
while [ "$(ps -o comm= -p $victim)" != sleep ]; do sleep 0.01; done
ps -o comm=,args=,stat=,ni=,pri=,nlwp=,tty= -p $victim | sed 's/  */ /g'
ps -o pid= --ppid $$ | grep -c "$victim"
ps -p $victim -o ppid= -o pgid= -o sid= | awk '{print NF}' 2> /dev/null || ps -p $victim -o ppid= -o pgid= -o sid= | wc -w
ps aux | grep -c '[s]leep 1000'; ps -ef | grep -c '[s]leep 1000'; ps -eLf | grep -c '[s]leep 1000'; ps axjf | grep -c '[s]leep 1000'
ps -o user=,ruid=,euid=,rgid=,egid= -p $victim | sed 's/  */ /g'; ps -o etimes= -p $victim | tr -d ' ' | grep -c '^[0-9]'
ps -o vsz=,rss=,sz= -p $victim | wc -w; ps -o pending=,blocked=,caught= -p $victim; ps -o cls=,rtprio=,psr= -p $victim | tr -d '[0-9]' | sed 's/  */ /g'
ps -o wchan= -p $victim | wc -l; ps h -o lstart -p $victim | wc -w; ps -C sleep -o pid= | grep -c "$victim"
pgrep -x sleep | grep -c "^$victim$"; pgrep -f 'sleep 1000' | grep -c "^$victim$"; pgrep -P $$ -l sleep | cut -d' ' -f2; pidof sleep | grep -c "$victim"; pgrep -u root -x sleep -c | grep -c '[1-9]'
pmap $victim | tail -n 1 | grep -c total; pmap -x $victim | grep -c 'stack'; pmap $victim | grep -o 'libc.so.6' | sort -u; pwdx $victim | sed 's/^[0-9]*/PID/'
readlink /proc/$victim/exe /proc/$victim/cwd; tr '\0' ' ' < /proc/$victim/cmdline; echo; cat /proc/$victim/comm; cat /proc/$victim/oom_score_adj /proc/$victim/wchan | tr '\n' ' ' | cut -c1-2
free | head -n 1; free -h | grep -c '^Swap:'; free -b | awk '/Mem/{print NF}' 2> /dev/null || free -b | grep Mem | wc -w
vmstat | sed -n 2p; vmstat 1 2 | wc -l; vmstat -s | grep -c 'total memory'; uptime | grep -c 'load average'; uptime -p | grep -c '^up'; w -h | wc -l
top -b -n 1 -p $victim | sed -n '2s/[0-9][0-9]*/N/gp'; top -b -n 2 -d 0.1 | grep -c '^%Cpu'; top -H -b -n 1 -p $victim | grep -c sleep; COLUMNS=200 top -b -n 1 -c | grep -c '[s]leep 1000'
slabtop -o > /dev/null 2>&1; tload -V > /dev/null; sysctl -n kernel.ostype kernel.ngroups_max kernel.cap_last_cap
renice -n 7 -p $victim | sed 's/^[0-9]*/PID/'; ps -o ni= -p $victim; nice -n 3 sh -c nice; ionice -p $victim; ionice -c 3 -p $victim; ionice -p $victim; ionice -c2 -n5 ionice
taskset -p $victim | sed 's/.*mask: [0-9a-f]*/mask/;s/^pid [0-9]*/pid/'; taskset -c 0 taskset -pc $$ | wc -l; taskset -c 0 nproc; taskset 0x1 sh -c 'grep Cpus_allowed_list /proc/self/status'
chrt -p $victim | sed 's/[0-9]\{2,\}/PID/'; chrt -r 10 chrt -p $$ | wc -l; chrt -f 20 sh -c 'chrt -p $$' | sed 's/[0-9]*.s current/current/'
prlimit -p $victim -n -o RESOURCE,UNITS --noheadings | sed 's/  */ /g'; prlimit -p $victim --nofile=100:200; grep 'open files' /proc/$victim/limits | sed 's/  */ /g'; prlimit --nproc=50 bash -c 'ulimit -u'; prlimit | wc -l
setsid -w sh -c 'ps -o pid=,sid= -p $$' | awk '{print $1==$2}' 2> /dev/null || setsid -w sh -c '[ "$(ps -o sid= -p $$)" -eq $$ ] && echo 1'; setsid -w false; echo $?
flock lock -c 'flock -n lock true; echo $?'; flock -s lock flock -s -n lock echo shared; (flock 9; lslocks -n -o COMMAND,TYPE,MODE | grep -c flock; flock -n lock echo no || echo held) 9> lock; flock -w 0.1 lock true && echo free
script -q -c 'tty | cut -c1-9; stty size; echo typed' typescript < /dev/null | tr -d '\r'; grep -c typed typescript; script -q -e -c 'exit 9' /dev/null < /dev/null; echo $?; scriptreplay --version | wc -l
mkdir -p point && mount -t tmpfs -o size=64k,mode=700 none point && findmnt -n -o FSTYPE,SOURCE point && stat -c %a point && head -c 100000 /dev/zero > point/big; stat -c %s point/big; mountpoint point; df -k --output=size point | tail -n 1
mount -o remount,ro point && touch point/x; findmnt -n -o OPTIONS point | cut -d, -f1; mkdir -p bound && mount --bind point bound && ls bound && umount bound && umount point && mountpoint point; umount point
mount | grep -c ' on /proc type proc'; findmnt -n /proc -o TARGET,FSTYPE; findmnt -n --tab-file /dev/null; cat /proc/filesystems | grep -c tmpfs; lsblk -n 2> /dev/null | wc -l | grep -c .
su nobody -s /bin/sh -c 'id -un; cd /; cat /etc/shadow; kill -0 '$victim'; cat /proc/'$victim'/environ; ls /root; touch /etc/x' 2>&1 | sed 's/^.*: //'; su -s /bin/sh -c 'echo $HOME $USER' nobody; su - root -c 'pwd; echo $LOGNAME'
setpriv --reuid 1000 --regid 1000 --clear-groups --no-new-privs sh -c 'id -u; id -G; grep -E "NoNewPrivs|CapEff" /proc/self/status'; setpriv --reuid 1000 --clear-groups --inh-caps=+kill --ambient-caps=+kill grep -E 'Cap(Eff|Amb)' /proc/self/status; capsh --version > /dev/null 2>&1; runuser -u nobody -- id -un; newgrp root < /dev/null
kill -l 9; kill -STOP $victim; while [ "$(ps -o stat= -p $victim | cut -c1)" != T ]; do sleep 0.01; done; ps -o state= -p $victim; kill -CONT $victim; pkill -f 'sleep 1000'; wait $victim; echo $?; kill -0 $victim 2> /dev/null || echo gone
getopt -o ab: -- -a -b x y; mcookie | wc -c; namei /usr/bin/env | tail -n 1; whereis -b bash | cut -d' ' -f1; rev <<< xyz; cal 1 2000 2> /dev/null | wc -l; logger -s hello 2>&1 | sed 's/^.*: //'
lscpu | grep -E '^(Architecture|CPU op-mode|Byte Order|Vendor ID)' | sed 's/  */ /g' | head -n 3; lscpu -p=CPU | grep -vc '#' | grep -c '[1-9]'; lsmem > /dev/null 2>&1; lsirq -n > /dev/null; echo $?; dmesg > /dev/null; echo $?; last -f /dev/null 2> /dev/null | wc -l; ipcs -q | sed -n 3p; nsenter -V | wc -l; unshare -V | wc -l; hwclock -V | wc -l; lsns -n > /dev/null; fallocate -l 1M allocated; stat -c %s allocated; fincore -n allocated 2> /dev/null | wc -l; wdctl 2> /dev/null; swapon --show; zramctl; losetup -a; blkid; echo done
