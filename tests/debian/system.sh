# What tells about the system, and System V's objects.
export LC_ALL=C
lscpu | sed -nE 's/^(Thread\(s\) per core|Socket\(s\)|Architecture|Byte Order|On-line CPU\(s\) list): .*/\1/p'
field() { lscpu | sed -nE "s/^ *$1: +//p"; }
echo "$(($(field 'Thread\(s\) per core') * $(field 'Core\(s\) per socket') * $(field 'Socket\(s\)') - $(nproc --all)))"
lscpu -p=CPU,Core,Socket | grep -v '#' | wc -l | grep -cx "$(nproc --all)"; for cpu in /sys/devices/system/cpu/cpu[0-9]*; do ls $cpu/topology | grep -cE '^(core_id|physical_package_id|thread_siblings|core_siblings|core_siblings_list)$'; done | sort -u
grep -cE '^(physical id|siblings|core id|cpu cores|apicid)' /proc/cpuinfo | grep -cx $((5 * $(nproc --all)))
sysctl -a 2> /dev/null | grep -oE '^(fs\.file-max|fs\.nr_open|fs\.pipe-max-size|fs\.inotify\.max_user_watches|fs\.mqueue\.msg_max|kernel\.(cap_last_cap|core_pattern|domainname|hostname|msgmax|ngroups_max|osrelease|ostype|pid_max|random\.boot_id|randomize_va_space|sem|shmmax|threads-max|version)|vm\.(max_map_count|overcommit_memory|overcommit_ratio|swappiness)) ='
sysctl kernel.ostype kernel.ngroups_max kernel.cap_last_cap kernel.no_such_value vm.overcommit_memory; echo $?; sysctl -w kernel.hostname=other; hostname; sysctl -q -w kernel.hostname=stele; sysctl -w kernel.ostype=x 2>&1 | tail -n 1
ipcmk -M 8192 -p 640 | sed 's/[0-9]*$/ID/'; ipcmk -S 3 | sed 's/[0-9]*$/ID/'; ipcmk -Q | sed 's/[0-9]*$/ID/'
ipcs | sed -E 's/0x[0-9a-f]{8} [0-9]+ +/KEY ID /; s/ +$//'; ipcs -l | sed -n '/Semaphore/,$p' | grep -c .; ipcs -u | grep -vE '^(pages|Swap)'; ipcs -p | sed -E '/^[0-9]/s/[0-9]+ */N /g; s/ +$//'; ipcs -m -c | sed -E 's/^[0-9]+ +/ID /'; ipcs -s -i "$(ipcs -s | sed -n 4p | cut -d' ' -f2)" | sed -nE '3,4p;8,$p' | sed -E 's/^(mode|nsems|otime).*/\1/; s/ +[0-9]+ *$/ N/'
for kind in m s q; do ipcrm -$kind "$(ipcs -$kind | sed -n 4p | cut -d' ' -f2)"; echo "removed $?"; ipcs -$kind | grep -c root; done
ipcrm -m 99999; echo $?; ipcmk -Q > /dev/null; ipcmk -M 100 > /dev/null; ipcrm -a; echo $?; ipcs | grep -c root
uptime -s | grep -cE '^20[0-9]{2}-'; uptime | grep -cE 'up .* load average: [0-9.]+, [0-9.]+, [0-9.]+$'; w -s | sed -n 2p; who | wc -l; free -w | head -n 1; free -t | tail -n 1 | cut -d: -f1; free -s 0.1 -c 2 | grep -c Mem
vmstat -w | sed -n 2p; vmstat 1 2 | tail -n 1 | wc -w; vmstat -a | sed -n 2p; vmstat -f | sed 's/[ 0-9]*//'; vmstat -s | grep -cE 'total memory|boot time|forks|interrupts|context switches'; vmstat -D | grep -c .
top -b -n 1 | sed -n '1s/.*load/load/; 1s/[0-9.]*//gp; 3s/[0-9. ]//gp; 6,7s/  *//gp'; top -b -n 1 -o %MEM -E m | sed -n 4p | cut -c1-7; ps -e -o pid= | wc -l | grep -c .; ps -eo pid,ppid,pgid,sid,tty,stat,%cpu,%mem,vsz,rss,etime,time,wchan,comm --no-headers | awk '{print NF}' 2> /dev/null | sort -u
ps -Lf -p $$ | sed -n '1s/  */ /gp'; ps -o minflt,majflt,drs,trs,sz,ni,pri,nlwp -p $$ | sed -n 1p; pidwait -V | cut -d' ' -f1; pwdx $$ | cut -d: -f2; skill -V | cut -d' ' -f1
