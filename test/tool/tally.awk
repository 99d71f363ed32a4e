# tally.awk: count the results in the log of one suite, be it pg_regress (15
# and later), TAP, or a program that ends with its own count. Prints passed,
# failed and skipped. A suite that ended badly (status) or ran nothing has
# failed, whatever it says.
/^(test | +).*\.\.\. ok +[0-9]+ ms/			{ passed++; next }
/^(test | +).*\.\.\. FAILED/				{ failed++; next }
/^1\.\.0 # ?[Ss][Kk][Ii][Pp]/				{ skipped++; next }
/^ok .*# *[Ss][Kk][Ii][Pp]/					{ skipped++; next }
/^ok /										{ passed++; next }
/^not ok /									{ failed++; next }
/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
	said = 1
	p = $1; f = $3; s = $5
}
END {
	if (said) { passed = p; failed = f; skipped = s }
	if (!failed && (status != 0 || passed + skipped == 0))
		failed = 1
	print passed + 0, failed + 0, skipped + 0
}
