def write_page(records, development):
    print(len(records))
