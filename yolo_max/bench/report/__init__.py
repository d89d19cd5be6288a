"""What people look at: results to figures, and figures to tables, plots and a page.

    results ──► summary.py ──► tables.py ──► text.py (terminal, Markdown), page.py
                          └──► charts.py ──► plots.py (SVG in the page, and PNG)

write.py puts them into a run's folder.

Nothing here measures, so that a bench.json can be shown again anywhere.
"""
