echo first > file; echo second >> file; cat < file
ls missing 2> errors; cat errors; echo "status $?"
{ echo out; echo err >&2; } > both 2>&1; cat both
exec 5> five; echo to five >&5; exec 5>&-; cat five
echo clobber >| file; cat file
cat <<END
here document with $((6 * 7)) and $(echo command)
END
cat <<'END'
quoted $((6 * 7))
END
cat <<-END
	tabs are gone
	END
: > empty; test -s empty || echo empty
cat file - < five
echo closed >&- 2>/dev/null; echo "status $?"
