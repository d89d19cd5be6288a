"""What people look at: results to figures, and figures to tables, plots and a page.

    results ──► summary.py ──► tables.py ──► text.py (terminal, Markdown) ┐
                          └──► charts.py ──► plots.py (SVG and PNG)       ┴──► write.py (page.html, filled)

Nothing here measures, so that a bench.json can be shown again anywhere.
"""
