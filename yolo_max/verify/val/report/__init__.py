"""What people look at of a validation, as files and one page, with Ultralytics' names.

folder.py  the folder, and all files in it
plots.py   curves and confusion, drawn with matplotlib
sheet.py   labels and predictions on their images
page.html  the page that shows all of it
"""
