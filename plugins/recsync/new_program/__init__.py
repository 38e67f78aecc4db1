"""Write the files of a new program from what the tables of the warehouse look like."""
