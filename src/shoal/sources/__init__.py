"""Where rows come from: files of many formats, object stores, standard input and tables in memory."""
